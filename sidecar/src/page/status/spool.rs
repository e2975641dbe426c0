//! Webhooks in the spool, which the database does not have yet.

use maud::{Markup, html};

use crate::spool::Standing;
use crate::text::{duration, number};

pub(super) fn of(standing: Standing) -> Markup {
    let count = |value: u64| number(i64::try_from(value).unwrap_or(i64::MAX));
    html! {
        h2 { "Webhooks on disk" }
        dl.figures {
            div { dt { "waiting for the database" } dd.bad[standing.is_away] { (count(standing.entries)) } }
            div { dt { "KiB used" } dd.bad[standing.is_full] { (count(standing.bytes.div_ceil(1 << 10))) } }
            div { dt { "set aside" } dd.bad[standing.set_aside > 0] { (count(standing.set_aside)) } }
            div { dt { "replayed" } dd { (count(standing.replayed)) } }
        }
        @if let Some(age) = standing.oldest { p { "The oldest has waited for " (duration(age)) "." } }
        @if standing.is_full { p.bad { "There is no room left: webhooks are refused while the database takes none." } }
        @if standing.is_failing { p.bad { "It could not be written last time, as on a full disk: webhooks are refused while the database takes none." } }
        p.faint { "Those of the process that shows this page." }
    }
}
