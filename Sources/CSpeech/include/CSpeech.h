#pragma once
#include <stddef.h>
#include <stdint.h>

/// A phoneme and when it begins.
typedef struct {
    /// Milliseconds from the first sample.
    int32_t milliseconds;
    /// The synthesizer's mnemonic, zero-terminated; `_` for silence.
    char name[12];
} speech_phoneme;

/// Spoken text. Release with `speech_free`.
typedef struct {
    int32_t sample_rate;
    size_t sample_count;
    int16_t *samples;
    size_t phoneme_count;
    speech_phoneme *phonemes;
} speech_result;

enum {
    SPEECH_OK = 0,
    SPEECH_NO_LIBRARY = 1,
    SPEECH_NO_DATA = 2,
    SPEECH_NO_VOICE = 3,
    SPEECH_FAILED = 4,
};

/// Speaks UTF-8 text with eSpeak NG, loaded at run time, so that programs start without it.
/// rate in words per minute, pitch and range 0…100. Not reentrant: callers take turns.
int speech_speak(const char *text, const char *voice, int rate, int pitch, int range, speech_result *result);
void speech_free(speech_result *result);
