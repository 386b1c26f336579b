/* Head and end of a page. */
#include "pipeline/report/page.h"

#include "io/html.h"
#include "pipeline/report/assets.h"

status page_head(FILE *f, const char *name, const char *what, bool broad) {
    status st = ST_OK;
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
          "img-src data:; style-src 'unsafe-inline'; script-src '",
          f);
    TRY(html_script_hash(f, asset_tables));
    fputs("' '", f);
    TRY(html_script_hash(f, asset_contents));
    fputs("' '", f);
    TRY(html_script_hash(f, asset_viewer));
    fputs("'\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>",
          f);
    html_text(f, name);
    fprintf(f, ": %s</title>\n<style>%s</style>\n</head>\n<body%s>\n", what, asset_style,
            broad ? " class=\"broad\"" : "");
done:
    return st;
}

void page_end(FILE *f, bool viewer) {
    fprintf(f, "<script>%s</script>\n", asset_tables);
    fprintf(f, "<script>%s</script>\n", asset_contents);
    if (viewer) fprintf(f, "<script>%s</script>\n", asset_viewer);
    fputs("</body>\n</html>\n", f);
}
