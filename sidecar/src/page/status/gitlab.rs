//! Requests passed on to GitLab, and whether it responds.

use std::time::SystemTime;

use maud::{Markup, html};

use crate::pass_through::PassThrough;
use crate::text::{duration, number};

/// As observed by this process: others may have had different results.
pub(super) fn of(pass_through: &PassThrough) -> Markup {
    let seen = pass_through.seen();
    let urls: Vec<&str> = pass_through
        .urls()
        .map(|url| url.as_str().trim_end_matches('/'))
        .collect();
    html! {
        h2 { "GitLab" }
        dl.figures {
            div { dt { "passed on and answered" } dd { (number(seen.answered)) } }
            div { dt { "failed" } dd.bad[seen.failed > 0] { (number(seen.failed)) } }
        }
        ul.rows {
            li {
                strong { (urls.join(", ")) }
                @match &seen.trouble {
                    None => span.good { "answers" },
                    Some((trouble, since)) => {
                        span.bad { (trouble) }
                        @if let Ok(past) = SystemTime::now().duration_since(*since) {
                            span.faint { "for " (duration(past)) }
                        }
                        @if let Some(hint) = trouble.hint() { span { (hint) } }
                    }
                }
            }
        }
        p.faint { "Seen by the process that shows this page, since it was started." }
    }
}
