//! Messages: what waits, what was sent, and what failed and where.

use maud::{Markup, html};

use super::moment::{ago, ahead, lasting};
use super::plot::{Line, Look, Plot};
use crate::page::history::{FiveMinutes, History};
use crate::page::markup::name;
use crate::page::report::{Channel, Failures, Report, length};
use crate::text::{duration, number, plural};

const DAY: [&str; 2] = ["a day ago", "now"];

pub(super) fn of(report: &Report, history: &History) -> Markup {
    let of = &report.deliveries;
    html! {
        h2 { "Messages" }
        dl.figures {
            div { dt { "waiting" } dd { (number(of.waiting)) } }
            div { dt { "sent in an hour" } dd { (number(of.delivered_last_hour)) } }
            div { dt { "failed in an hour" } dd.bad[of.failed_last_hour > 0] { (number(of.failed_last_hour)) } }
            div { dt { "channels waiting after an error" } dd { (number(of.channels_held)) } }
        }
        @if of.waiting > 0 { p { "The oldest has waited " (lasting(of.oldest.as_ref(), of.oldest_seconds)) "." } }
        (failures(&report.failures))
        @if !of.channels.is_empty() {
            table {
                caption {
                    (number(of.channels_waiting)) " " (plural(of.channels_waiting, "channel waits", "channels wait"))
                    @if of.channels_waiting > of.channels.len() as i64 { "; most of all:" }
                }
                thead { tr { th scope="col" { "channel" } th scope="col" { "waiting" } th scope="col" { "oldest" } th scope="col" { "last error" } } }
                tbody { @for channel in &of.channels { (waiting(channel)) } }
            }
        }
        (plots(&history.deliveries))
    }
}

fn failures(of: &[Failures]) -> Markup {
    html! {
        @if !of.is_empty() {
            table {
                caption { "Not delivered within a day" }
                thead { tr { th scope="col" { "error" } th scope="col" { "messages" } th scope="col" { "channels" } th scope="col" { "last" } } }
                tbody {
                    @for failure in of {
                        tr {
                            th.bad scope="row" {
                                (failure.error)
                                @if let Some(scope) = &failure.needed { " (needs " (scope) ")" }
                            }
                            td data-label="messages" { (number(failure.deliveries)) }
                            td data-label="channels" {
                                (failure.names.join(", "))
                                @if failure.channels > failure.names.len() as i64 {
                                    @if !failure.names.is_empty() { " and " }
                                    (number(failure.channels - failure.names.len() as i64))
                                    @if !failure.names.is_empty() { " more" }
                                }
                            }
                            td data-label="last" { (ago(failure.last_at.as_ref(), failure.age_seconds)) }
                        }
                    }
                }
            }
            p.faint {
                code { "/gitlab <alias> status" } " says what to do about a project's channels; "
                code { "lockstep.retry_deliveries()" } " sends the messages again."
            }
        }
    }
}

fn waiting(of: &Channel) -> Markup {
    html! {
        tr {
            th scope="row" { (name(&of.channel)) " " span.faint { "workspace " (of.team_id) } }
            td data-label="waiting" { (number(of.waiting)) }
            td data-label="oldest" { (ago(of.oldest.as_ref(), of.oldest_seconds)) }
            td data-label="last error" {
                @if let Some(error) = &of.last_error { span.bad { (error) } " " }
                @if of.held_until.is_some() {
                    span.faint { "next try " (ahead(of.held_until.as_ref(), of.held_for_seconds)) }
                }
            }
        }
    }
}

fn plots(of: &[FiveMinutes]) -> Markup {
    let line = |name, look, value: fn(&FiveMinutes) -> Option<f64>| Line {
        name,
        look,
        points: of.iter().map(|it| (it.at, value(it))).collect(),
    };
    let a_minute = |value: f64| match value < 10.0 && value > 0.0 {
        true => format!("{value:.1}"),
        false => format!("{value:.0}"),
    };
    let sent = Plot {
        title: "Messages a minute",
        written: a_minute,
        ends: DAY,
        lines: vec![
            line("sent", Look::First, |it| Some(it.delivered / 5.0)),
            line("failed", Look::Bad, |it| Some(it.failed / 5.0)),
        ],
    };
    let latency = Plot {
        title: "Time to Slack",
        written: |value| duration(length(value)),
        ends: DAY,
        lines: vec![
            line("p50", Look::First, |it| it.p50_seconds),
            line("p99", Look::Second, |it| it.p99_seconds),
        ],
    };
    let oldest = Plot {
        title: "Age of the oldest message",
        written: |value| duration(length(value)),
        ends: DAY,
        lines: vec![line("waited", Look::First, |it| it.oldest_seconds)],
    };
    html! { (sent.draw()) (latency.draw()) (oldest.draw()) }
}
