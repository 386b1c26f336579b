/* The exchange of axes is the one of the six for which the axes lie nearest to the patient's. */
#include "io/turn.h"

#include <math.h>
#include <string.h>

turn turn_to_lps(const geometry *space) {
    static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                     {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    static const int toward[3] = {2, 1, 0}; /* the patient's axis for z, y, x: head, back, left */
    turn best = {{0, 1, 2}, {false, false, false}};
    double most = -1;
    for (int o = 0; o < 6; o++) {
        double sum = 0;
        for (int k = 0; k < 3; k++) sum += fabs(space->direction[3 * orders[o][k] + toward[k]]);
        if (!(sum > most + 1e-9)) continue;
        most = sum;
        memcpy(best.from, orders[o], sizeof best.from);
    }
    for (int k = 0; k < 3; k++) best.flip[k] = space->direction[3 * best.from[k] + toward[k]] < 0;
    return best;
}

bool turn_is_none(const turn *t) {
    bool none = true;
    for (int k = 0; k < 3; k++) none &= t->from[k] == k && !t->flip[k];
    return none;
}

geometry turn_geometry(const turn *t, const geometry *space) {
    geometry out = *space;
    for (int k = 0; k < 3; k++) {
        const int from = t->from[k];
        const double *axis = space->direction + 3 * from;
        const double length = (double)(space->shape[from] - 1) * space->spacing[from];
        out.shape[k] = space->shape[from];
        out.spacing[k] = space->spacing[from];
        for (int i = 0; i < 3; i++) {
            /* + 0: no negative zeros */
            out.direction[3 * k + i] = t->flip[k] ? -axis[i] + 0.0 : axis[i];
            if (t->flip[k]) out.origin[i] += length * axis[i];
        }
    }
    return out;
}

status turn_volume(const turn *t, volume *v) {
    status st;
    volume out = *v;
    int64_t step[3] = {v->space.shape[1] * v->space.shape[2], v->space.shape[2], 1};
    int64_t stride[3], first = 0, to = 0;
    if (turn_is_none(t)) return ST_OK;
    out.space = turn_geometry(t, &v->space);
    TRY(volume_alloc(&out));
    for (int k = 0; k < 3; k++) {
        stride[k] = t->flip[k] ? -step[t->from[k]] : step[t->from[k]];
        if (t->flip[k]) first += (out.space.shape[k] - 1) * step[t->from[k]];
    }
    for (int64_t z = 0; z < out.space.shape[0]; z++)
        for (int64_t y = 0; y < out.space.shape[1]; y++) {
            int64_t at = first + z * stride[0] + y * stride[1];
            for (int64_t x = 0; x < out.space.shape[2]; x++, at += stride[2], to++) {
                out.hu[to] = v->hu[at];
                out.labels[to] = v->labels[at];
            }
        }
    volume_free(v);
    *v = out;
done:
    return st;
}
