/* Optimal string alignment distance: the Levenshtein table, extended by swaps of two neighbouring
 * characters. Three rows of the table are kept. */
#include "io/nearest.h"

#include <ctype.h>
#include <string.h>

enum { WORD_MAX = 63 };

static int min_int(int a, int b) { return a < b ? a : b; }

static int folded(char c) { return tolower((unsigned char)c); }

int edit_distance(const char *a, const char *b) {
    int n = (int)strnlen(a, WORD_MAX), m = (int)strnlen(b, WORD_MAX);
    int rows[3][WORD_MAX + 1];
    for (int j = 0; j <= m; j++) rows[0][j] = j;
    for (int i = 1; i <= n; i++) {
        int *now = rows[i % 3], *above = rows[(i + 2) % 3], *two_above = rows[(i + 1) % 3];
        now[0] = i;
        for (int j = 1; j <= m; j++) {
            int x = folded(a[i - 1]), y = folded(b[j - 1]);
            now[j] = min_int(above[j - 1] + (x != y), min_int(above[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && x == folded(b[j - 2]) && y == folded(a[i - 2]))
                now[j] = min_int(now[j], two_above[j - 2] + 1);
        }
    }
    return rows[n % 3][m];
}

bool edit_is_typo(int distance, const char *word) {
    return distance <= 1 + (int)strnlen(word, WORD_MAX) / 4;
}
