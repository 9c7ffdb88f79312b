#include "CSpeech.h"
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

// The part of eSpeak NG's stable interface (speak_lib.h) that is used here.
typedef struct {
    int type;
    unsigned int unique_identifier;
    int text_position;
    int length;
    int audio_position;
    int sample;
    void *user_data;
    union {
        int number;
        const char *name;
        char string[8];
    } id;
} espeak_event;

enum { EVENT_LIST_TERMINATED = 0, EVENT_PHONEME = 7 };
enum { OUTPUT_SYNCHRONOUS = 2, INITIALIZE_PHONEME_EVENTS = 1, INITIALIZE_DONT_EXIT = 0x8000 };
enum { PARAMETER_RATE = 1, PARAMETER_PITCH = 3, PARAMETER_RANGE = 4 };

static int (*espeak_initialize)(int, int, const char *, int);
static void (*espeak_set_callback)(int (*)(short *, int, espeak_event *));
static int (*espeak_set_voice)(const char *);
static int (*espeak_set_parameter)(int, int, int);
static int (*espeak_synth)(const void *, size_t, unsigned int, int, unsigned int, unsigned int, unsigned int *, void *);

static speech_result *collecting;
static int out_of_memory;

static int collect(short *samples, int count, espeak_event *events) {
    if (!collecting) return 1;
    if (samples && count > 0) {
        int16_t *grown = realloc(collecting->samples, (collecting->sample_count + (size_t)count) * sizeof(int16_t));
        if (!grown) { out_of_memory = 1; return 1; }
        memcpy(grown + collecting->sample_count, samples, (size_t)count * sizeof(int16_t));
        collecting->samples = grown;
        collecting->sample_count += (size_t)count;
    }
    for (; events && events->type != EVENT_LIST_TERMINATED; events++) {
        if (events->type != EVENT_PHONEME) continue;
        speech_phoneme *grown =
            realloc(collecting->phonemes, (collecting->phoneme_count + 1) * sizeof(speech_phoneme));
        if (!grown) { out_of_memory = 1; return 1; }
        collecting->phonemes = grown;
        speech_phoneme *phoneme = &grown[collecting->phoneme_count++];
        memset(phoneme, 0, sizeof *phoneme);
        phoneme->milliseconds = events->audio_position;
        memcpy(phoneme->name, events->id.string, 8);
        if (!phoneme->name[0]) phoneme->name[0] = '_';
    }
    return 0;
}

static int load(void) {
    void *library = dlopen("libespeak-ng.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library) return 0;
    *(void **)&espeak_initialize = dlsym(library, "espeak_Initialize");
    *(void **)&espeak_set_callback = dlsym(library, "espeak_SetSynthCallback");
    *(void **)&espeak_set_voice = dlsym(library, "espeak_SetVoiceByName");
    *(void **)&espeak_set_parameter = dlsym(library, "espeak_SetParameter");
    *(void **)&espeak_synth = dlsym(library, "espeak_Synth");
    return espeak_initialize && espeak_set_callback && espeak_set_voice && espeak_set_parameter && espeak_synth;
}

static int speak(const char *text, const char *voice, int rate, int pitch, int range, speech_result *result) {
    if (!load()) return SPEECH_NO_LIBRARY;
    result->sample_rate =
        espeak_initialize(OUTPUT_SYNCHRONOUS, 0, NULL, INITIALIZE_PHONEME_EVENTS | INITIALIZE_DONT_EXIT);
    if (result->sample_rate <= 0) return SPEECH_NO_DATA;
    espeak_set_callback(collect);
    if (espeak_set_voice(voice) != 0) return SPEECH_NO_VOICE;
    espeak_set_parameter(PARAMETER_RATE, rate, 0);
    espeak_set_parameter(PARAMETER_PITCH, pitch, 0);
    espeak_set_parameter(PARAMETER_RANGE, range, 0);
    collecting = result;
    // The noise comes from rand(), which anybody may have called until now.
    srand(1);
    if (espeak_synth(text, strlen(text) + 1, 0, 1, 0, 1, NULL, NULL) != 0 || out_of_memory) return SPEECH_FAILED;
    return SPEECH_OK;
}

static int put(int file, const void *bytes, size_t count) {
    const char *rest = bytes;
    while (count > 0) {
        ssize_t n = write(file, rest, count);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return 0;
        rest += n;
        count -= (size_t)n;
    }
    return 1;
}

static int get(int file, void *bytes, size_t count) {
    char *rest = bytes;
    while (count > 0) {
        ssize_t n = read(file, rest, count);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return 0;
        rest += n;
        count -= (size_t)n;
    }
    return 1;
}

/// Reads what the child wrote: status, the result's numbers, samples, phonemes.
static int receive(int file, speech_result *result) {
    int status;
    if (!get(file, &status, sizeof status)) return SPEECH_FAILED;
    if (status != SPEECH_OK) return status;
    speech_result sent;
    if (!get(file, &sent, sizeof sent)) return SPEECH_FAILED;
    result->sample_rate = sent.sample_rate;
    result->samples = calloc(sent.sample_count + 1, sizeof(int16_t));
    result->phonemes = calloc(sent.phoneme_count + 1, sizeof(speech_phoneme));
    if (!result->samples || !result->phonemes) return SPEECH_FAILED;
    result->sample_count = sent.sample_count;
    result->phoneme_count = sent.phoneme_count;
    if (!get(file, result->samples, sent.sample_count * sizeof(int16_t))) return SPEECH_FAILED;
    if (!get(file, result->phonemes, sent.phoneme_count * sizeof(speech_phoneme))) return SPEECH_FAILED;
    return SPEECH_OK;
}

int speech_speak(const char *text, const char *voice, int rate, int pitch, int range, speech_result *result) {
    memset(result, 0, sizeof *result);
    // A process of its own for every text: the synthesizer's noise goes on from call to call, so that otherwise the sound of
    // a text would depend on what was spoken before. (espeak_Terminate of 1.51 waits for ever in synchronous mode.)
    int ends[2];
    if (pipe(ends) != 0) return SPEECH_FAILED;
    pid_t child = fork();
    if (child < 0) {
        close(ends[0]);
        close(ends[1]);
        return SPEECH_FAILED;
    }
    if (child == 0) {
        close(ends[0]);
        alarm(60);
        speech_result spoken;
        memset(&spoken, 0, sizeof spoken);
        int status = speak(text, voice, rate, pitch, range, &spoken);
        int sent = put(ends[1], &status, sizeof status);
        if (sent && status == SPEECH_OK) {
            sent = put(ends[1], &spoken, sizeof spoken)
                && put(ends[1], spoken.samples, spoken.sample_count * sizeof(int16_t))
                && put(ends[1], spoken.phonemes, spoken.phoneme_count * sizeof(speech_phoneme));
        }
        _exit(sent ? 0 : 1);
    }
    close(ends[1]);
    int status = receive(ends[0], result);
    close(ends[0]);
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {}
    if (status != SPEECH_OK) speech_free(result);
    return status;
}

void speech_free(speech_result *result) {
    free(result->samples);
    free(result->phonemes);
    result->samples = NULL;
    result->phonemes = NULL;
    result->sample_count = result->phoneme_count = 0;
}
