#pragma once
#include <errno.h>
#include <libavcodec/avcodec.h>
#include <libavcodec/bsf.h>
#include <libavformat/avformat.h>
#include <libavutil/channel_layout.h>
#include <libavutil/display.h>
#include <libavutil/imgutils.h>
#include <libavutil/opt.h>
#include <libavutil/pixdesc.h>
#include <libswresample/swresample.h>
#include <libswscale/swscale.h>

// The libraries are loaded when the first of their functions is called (CLoading.h): FFmpeg brings a hundred others with it.

// Macros and compound literals that Swift does not import, under the prefix cff_.

static const int64_t cff_no_pts = AV_NOPTS_VALUE;
static const int cff_error_eof = AVERROR_EOF;
static const int cff_error_invalid_data = AVERROR_INVALIDDATA;
static const int cff_error_again = AVERROR(EAGAIN);
static const int cff_error_io = AVERROR(EIO);
static const int cff_error_invalid_argument = AVERROR(EINVAL);
static const int cff_error_not_permitted = AVERROR(EPERM);
static const int cff_error_no_memory = AVERROR(ENOMEM);

static const int cff_seek_size = AVSEEK_SIZE;
static const int cff_seek_force = AVSEEK_FORCE;

/// Presentation duration of a decoded frame in its stream's time base, 0 if unknown.
static inline int64_t cff_frame_duration(const AVFrame *frame) {
#if LIBAVUTIL_VERSION_INT >= AV_VERSION_INT(57, 30, 100)
    return frame->duration;
#else
    return frame->pkt_duration;
#endif
}

/// Sets what cff_frame_duration gives.
static inline void cff_set_frame_duration(AVFrame *frame, int64_t duration) {
#if LIBAVUTIL_VERSION_INT >= AV_VERSION_INT(57, 30, 100)
    frame->duration = duration;
#else
    frame->pkt_duration = duration;
#endif
}

/// The display matrix (9 × 16.16 fixed point) of a stream, or NULL.
static inline const int32_t *cff_stream_display_matrix(const AVStream *stream) {
#if LIBAVCODEC_VERSION_INT >= AV_VERSION_INT(60, 31, 102)
    const AVPacketSideData *data = av_packet_side_data_get(
        stream->codecpar->coded_side_data, stream->codecpar->nb_coded_side_data, AV_PKT_DATA_DISPLAYMATRIX);
    return data && data->size >= 9 * sizeof(int32_t) ? (const int32_t *)data->data : NULL;
#else
    size_t size = 0;
    const uint8_t *data = av_stream_get_side_data(stream, AV_PKT_DATA_DISPLAYMATRIX, &size);
    return data && size >= 9 * sizeof(int32_t) ? (const int32_t *)data : NULL;
#endif
}

/// Writes the display matrix that a player applies to a stream; returns a negative error or 0.
static inline int cff_stream_set_display_matrix(AVStream *stream, const int32_t matrix[9]) {
#if LIBAVCODEC_VERSION_INT >= AV_VERSION_INT(60, 31, 102)
    AVPacketSideData *data = av_packet_side_data_new(
        &stream->codecpar->coded_side_data, &stream->codecpar->nb_coded_side_data,
        AV_PKT_DATA_DISPLAYMATRIX, 9 * sizeof(int32_t), 0);
    if (!data) return AVERROR(ENOMEM);
    memcpy(data->data, matrix, 9 * sizeof(int32_t));
#else
    uint8_t *data = av_stream_new_side_data(stream, AV_PKT_DATA_DISPLAYMATRIX, 9 * sizeof(int32_t));
    if (!data) return AVERROR(ENOMEM);
    memcpy(data, matrix, 9 * sizeof(int32_t));
#endif
    return 0;
}

/// A media file may name other files (playlists, references): none of them is opened.
static inline int cff_refuse_open(AVFormatContext *context, AVIOContext **io, const char *url, int flags,
                                  AVDictionary **options) {
    (void)context; (void)io; (void)url; (void)flags; (void)options;
    return AVERROR(EPERM);
}
static inline void cff_refuse_other_files(AVFormatContext *context) { context->io_open = cff_refuse_open; }
