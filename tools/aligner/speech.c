/* Speech with exact word times: reads lines "out.wav <tab> voice <tab> stretch <tab> pitch <tab> text", writes each wav
   and one line "out.wav <tab> word:start:end <tab> ..." in seconds, from flite's own utterance structure.
   Build: cc -O2 speech.c -o speech -lflite_cmu_us_slt -lflite_cmu_us_rms -lflite_cmu_us_awb -lflite_cmu_us_kal16
          -lflite_usenglish -lflite_cmulex -lflite -lm */
#include <flite/flite.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

cst_voice *register_cmu_us_slt(const char *);
cst_voice *register_cmu_us_rms(const char *);
cst_voice *register_cmu_us_awb(const char *);
cst_voice *register_cmu_us_kal16(const char *);

static const char *names[] = {"slt", "rms", "awb", "kal16"};
static cst_voice *voices[4];

static cst_voice *voice_named(const char *name) {
    for (int index = 0; index < 4; index++)
        if (!strcmp(names[index], name)) return voices[index];
    fprintf(stderr, "speech: no voice %s; there are slt, rms, awb, kal16\n", name);
    exit(1);
}

/* A word lasts from the start of its first phone (the end of the phone before it) to the end of its last phone. */
static void print_words(cst_utterance *utterance) {
    for (cst_item *word = relation_head(utt_relation(utterance, "Word")); word; word = item_next(word))
        printf("\t%s:%.4f:%.4f", item_feat_string(word, "name"),
               ffeature_float(word, "R:SylStructure.daughter1.daughter1.R:Segment.p.end"),
               ffeature_float(word, "R:SylStructure.daughtern.daughtern.R:Segment.end"));
}

int main(void) {
    char line[8192];
    flite_init();
    voices[0] = register_cmu_us_slt(NULL);
    voices[1] = register_cmu_us_rms(NULL);
    voices[2] = register_cmu_us_awb(NULL);
    voices[3] = register_cmu_us_kal16(NULL);
    while (fgets(line, sizeof line, stdin)) {
        char *path = strtok(line, "\t"), *name = strtok(NULL, "\t"), *stretch = strtok(NULL, "\t");
        char *pitch = strtok(NULL, "\t"), *text = strtok(NULL, "\n");
        if (!text) {
            fprintf(stderr, "speech: a line needs path, voice, stretch, pitch and text, separated by tabs\n");
            return 1;
        }
        cst_voice *voice = voice_named(name);
        feat_set_float(voice->features, "duration_stretch", atof(stretch));
        feat_set_float(voice->features, "f0_shift", atof(pitch));
        cst_utterance *utterance = flite_synth_text(text, voice);
        if (cst_wave_save_riff(utt_wave(utterance), path) != CST_OK_FORMAT) {
            fprintf(stderr, "speech: cannot write %s\n", path);
            return 1;
        }
        printf("%s", path);
        print_words(utterance);
        printf("\n");
        fflush(stdout);
        delete_utterance(utterance);
    }
    return 0;
}
