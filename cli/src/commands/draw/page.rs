//! The picture as a page: one file that needs no network, light or dark as the reader's system.

use super::svg::escape;

const STYLE: &str = ":root{color-scheme:light dark}body{margin:0;background:#ffffff}svg{display:block;margin:1rem auto;\
                     max-width:100%;height:auto}@media(prefers-color-scheme:dark){body{background:#14181d}}";

pub(super) fn page(title: &str, svg: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n{svg}</body>\n</html>\n",
        escape(title)
    )
}
