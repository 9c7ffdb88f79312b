#include "CSpeech.h"
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

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

static void *library;

static int load(void) {
    library = dlopen("libespeak-ng.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library) return 0;
    *(void **)&espeak_initialize = dlsym(library, "espeak_Initialize");
    *(void **)&espeak_set_callback = dlsym(library, "espeak_SetSynthCallback");
    *(void **)&espeak_set_voice = dlsym(library, "espeak_SetVoiceByName");
    *(void **)&espeak_set_parameter = dlsym(library, "espeak_SetParameter");
    *(void **)&espeak_synth = dlsym(library, "espeak_Synth");

    return espeak_initialize && espeak_set_callback && espeak_set_voice && espeak_set_parameter && espeak_synth;
}

// Unloading is what resets the synthesizer: its noise source goes on from call to call, so that without this the sound of
// a text would depend on what was spoken before. (espeak_Terminate, 1.51, waits for ever in synchronous mode.)
static void unload(void) {
    if (library) dlclose(library);
    library = NULL;
}

int speech_speak(const char *text, const char *voice, int rate, int pitch, int range, speech_result *result) {
    memset(result, 0, sizeof *result);
    if (!load()) {
        unload();
        return SPEECH_NO_LIBRARY;
    }
    result->sample_rate =
        espeak_initialize(OUTPUT_SYNCHRONOUS, 0, NULL, INITIALIZE_PHONEME_EVENTS | INITIALIZE_DONT_EXIT);
    if (result->sample_rate <= 0) {
        unload();
        return SPEECH_NO_DATA;
    }
    int status = SPEECH_OK;
    espeak_set_callback(collect);
    if (espeak_set_voice(voice) != 0) {
        status = SPEECH_NO_VOICE;
    } else {
        espeak_set_parameter(PARAMETER_RATE, rate, 0);
        espeak_set_parameter(PARAMETER_PITCH, pitch, 0);
        espeak_set_parameter(PARAMETER_RANGE, range, 0);
        collecting = result;
        out_of_memory = 0;
        if (espeak_synth(text, strlen(text) + 1, 0, 1, 0, 1, NULL, NULL) != 0
            || out_of_memory) {
            status = SPEECH_FAILED;
        }
        collecting = NULL;
    }
    unload();
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
