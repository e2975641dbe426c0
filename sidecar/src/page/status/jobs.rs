//! Jobs by worker.

use maud::{Markup, html};

use super::moment::lasting;
use crate::page::markup::name;
use crate::page::report::Worker;
use crate::text::number;

pub(super) fn of(of: &[Worker]) -> Markup {
    html! {
        h2 { "Jobs" }
        @if of.is_empty() { p { "No jobs are waiting." } }
        @else {
            table {
                thead {
                    tr { th scope="col" { "worker" } th scope="col" { "waiting" } th scope="col" { "running" } th scope="col" { "oldest" } th scope="col" { "dead" } }
                }
                tbody { @for worker in of { (row(worker)) } }
            }
        }
    }
}

fn row(of: &Worker) -> Markup {
    html! {
        tr {
            th scope="row" {
                (name(&of.worker))
                @if let Some(new) = &of.renamed_to { " " span.faint { "renamed to " (name(new)) } }
            }
            @if of.drained { td.good colspan="4" { "drained" } }
            @else {
                td data-label="waiting" {
                    (number(of.enqueued))
                    @if of.scheduled > 0 { span.faint { ", " (number(of.scheduled)) " of them scheduled" } }
                }
                td data-label="running" { (number(of.running)) }
                td data-label="oldest" { (lasting(of.oldest.as_ref(), of.oldest_seconds)) }
                td.bad[of.dead > 0] data-label="dead" { (number(of.dead)) }
            }
        }
    }
}
