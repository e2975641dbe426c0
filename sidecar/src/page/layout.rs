//! What all pages have in common.

use maud::{DOCTYPE, Markup, html};

use crate::serve::STYLE;

pub(super) fn page(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex";
                title { (title) " · GitLab for Slack" }
                link rel="stylesheet" href=(STYLE);
            }
            body {
                main { (body) }
                footer { "Served by lockstep " (env!("CARGO_PKG_VERSION")) }
            }
        }
    }
}
