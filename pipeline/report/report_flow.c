/* The data flow diagram of the report: patients, volumes and slices in each part of the run. The
 * layout follows the flow diagrams of clinical trials (CONSORT). */
#include "pipeline/report/chapters.h"
#include "pipeline/report/report.h"

enum { BOX_H = 66, LINE_H = 19 };

/* Begins a box with a bold heading. The caller writes the first line below it, calls next_line(),
 * writes the second line and calls end_box(). */
static void begin_box(FILE *f, double x, double y, double width, const char *class,
                      const char *head) {
    fprintf(f,
            "<rect class=\"box %s\" x=\"%.0f\" y=\"%.0f\" width=\"%.0f\" height=\"%d\" rx=\"3\"/>\n"
            "<text x=\"%.0f\" y=\"%.0f\" font-weight=\"600\">%s</text>\n"
            "<text x=\"%.0f\" y=\"%.0f\">",
            class, x, y, width, BOX_H, x + 10, y + 19, head, x + 10, y + 19 + LINE_H);
}

static void next_line(FILE *f, double x, double y) {
    fprintf(f, "</text>\n<text x=\"%.0f\" y=\"%.0f\">", x + 10, y + 18 + 2 * LINE_H);
}

static void end_box(FILE *f) { fputs("</text>\n", f); }

static void arrow(FILE *f, const char *path) {
    fprintf(f, "<path class=\"arrow\" d=\"%s\" marker-end=\"url(#tip)\"/>\n", path);
}

/* The box of a part of the split. */
static void part_box(FILE *f, const report *r, split_part part, double x, double y, double width,
                     const char *class, const char *head) {
    begin_box(f, x, y, width, class, head);
    if (r->split.by_blocks)
        fputs("blocks of the one patient", f);
    else if (part == SPLIT_VALIDATION && report_number(r, "data.patients") == 2)
        fputs("the test patient, too", f);
    else
        put_count(f, report_split_number(r, part, "patients"), "patient", "patients");
    next_line(f, x, y);
    put_count(f, report_split_number(r, part, "slices"), "slice", "slices");
    end_box(f);
}

/* The box of the segmenters: two arms, or those of a protocol. */
static void segmenter_box(FILE *f, const report *r, double x, double y, double width) {
    bool sets = chapters_present(r->metrics);
    begin_box(f, x, y, width, "plain", "Segmenters");
    if (sets)
        fprintf(f, "%s, %s of labelled patients",
                show_count((double)json_array_size(figure_at(r->metrics, "protocol.arms")), "arm",
                           "arms")
                    .text,
                show_count((double)json_array_size(figure_at(r->metrics, "protocol.labelled")),
                           "number", "numbers")
                    .text);
    else
        fputs("trained on real, and on real + synthetic", f);
    next_line(f, x, y);
    if (sets) fprintf(f, "%s, ", show_count(report_number(r, "protocol.sets"), "set", "sets").text);
    put_count(f, report_number(r, sets ? "protocol.seeds" : "segmenter.seeds"), "seed", "seeds");
    fputs(sets ? " each, equal steps" : " each, equal numbers of steps", f);
    end_box(f);
}

static void evaluation_box(FILE *f, const report *r, double x, double y, double width) {
    begin_box(f, x, y, width, "plain", "Evaluation");
    fputs("Dice on ", f);
    put_count(f, report_number(r, "split.test.patients"), "test patient", "test patients");
    next_line(f, x, y);
    if (chapters_present(r->metrics)) {
        put_count(f, (double)json_array_size(figure_at(r->metrics, "protocol.tests")), "test",
                  "tests");
        fputs(", statistics, distances, gate", f);
    } else {
        fputs("FID: ", f);
        put_number(f, report_number(r, "fid.n_synthetic"), 0);
        fputs(" synthetic against ", f);
        put_number(f, report_number(r, "fid.n_real"), 0);
        fputs(" real", f);
    }
    end_box(f);
}

void report_flow(FILE *f, const report *r) {
    enum { LEFT = 2, MIDDLE = 250, RIGHT = 528, WIDTH = 190, WIDE = 290 };
    fputs(
        "<div class=\"chart\"><svg viewBox=\"0 0 820 244\" role=\"img\" aria-label=\"Data flow\">\n"
        "<title>Data flow</title>\n"
        "<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" "
        "markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" class=\"tip\"/></marker>"
        "</defs>\n",
        f);
    arrow(f, "M192 119H221V33H248");
    arrow(f, "M192 119H248");
    arrow(f, "M192 119H221V205H248");
    arrow(f, "M440 33H526");
    arrow(f, "M440 33H484V119H526");
    arrow(f, "M440 205H526");
    arrow(f, "M673 68V86");
    arrow(f, "M673 154V172");
    begin_box(f, LEFT, 88, WIDTH, "plain", "Real CT");
    put_count(f, report_number(r, "data.patients"), "patient", "patients");
    fputs(", ", f);
    put_count(f, report_number(r, "data.volumes"), "volume", "volumes");
    next_line(f, LEFT, 88);
    put_count(f, report_number(r, "data.slices"), "slice", "slices");
    end_box(f);
    part_box(f, r, SPLIT_TRAIN, MIDDLE, 2, WIDTH, "real", "Training");
    part_box(f, r, SPLIT_VALIDATION, MIDDLE, 88, WIDTH, "plain", "Validation (loss only)");
    part_box(f, r, SPLIT_TEST, MIDDLE, 174, WIDTH, "real", "Test, held out");
    begin_box(f, RIGHT, 2, WIDE, "made", "Synthetic CT, by the diffusion model");
    put_count(f, report_number(r, "synthetic.volumes"), "volume", "volumes");
    fputs(", ", f);
    put_count(f, report_number(r, "synthetic.slices"), "slice", "slices");
    next_line(f, RIGHT, 2);
    fputs(r->stage->study->generate.masks[0] ? "on masks of its user"
                                             : "on deformed training label maps",
          f);
    end_box(f);
    segmenter_box(f, r, RIGHT, 88, WIDE);
    evaluation_box(f, r, RIGHT, 174, WIDE);
    fputs("</svg></div>\n", f);
}
