/* The style and the scripts of the page, from the files beside this one; terminated texts. */
#ifndef CTAUG_PIPELINE_REPORT_ASSETS_H
#define CTAUG_PIPELINE_REPORT_ASSETS_H

extern const char asset_style[];    /* report.css */
extern const char asset_tables[];   /* tables.js */
extern const char asset_contents[]; /* contents.js */
extern const char asset_viewer[];   /* viewer.js */

#endif
