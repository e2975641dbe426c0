//! The report in readable form.

use std::time::Duration;

use maud::{Markup, html};

use crate::page::report::{
    Backfill, Channel, Deliveries, Drift, Failures, Feature, Report, Worker,
};
use crate::text::{duration, number};

pub(super) fn of(report: &Report, has_drift_failed: bool) -> Markup {
    html! {
        @if report.is_held {
            p.bad {
                "This database was restored or copied: no job runs and no message is sent. "
                code { "lockstep.release_restored()" } " lets them continue here, " code { "lockstep.discard_restored()" } " discards them."
            }
        }
        (deliveries(&report.deliveries))
        (failures(&report.failures))
        (queue(&report.queue))
        (backfills(&report.backfills))
        (features(&report.features))
        (drifted(&report.drift, has_drift_failed))
    }
}

fn deliveries(of: &Deliveries) -> Markup {
    html! {
        h2 { "Messages" }
        dl.figures {
            div { dt { "waiting" } dd { (number(of.waiting)) } }
            div { dt { "sent in an hour" } dd { (number(of.delivered_last_hour)) } }
            div { dt { "failed in an hour" } dd.bad[of.failed_last_hour > 0] { (number(of.failed_last_hour)) } }
            div { dt { "channels waiting after an error" } dd { (number(of.channels_held)) } }
        }
        @if !of.channels.is_empty() {
            p.faint {
                (number(of.channels_waiting)) " " (plural(of.channels_waiting, "channel waits", "channels wait"))
                "; most of all:"
            }
            ul.rows { @for channel in &of.channels { li { (waiting(channel)) } } }
        }
    }
}

fn waiting(channel: &Channel) -> Markup {
    html! {
        strong { (channel.channel) }
        span.faint { "workspace " (channel.team_id) }
        span { (number(channel.waiting)) " waiting" }
        @if let Some(error) = &channel.last_error { span.bad { (error) } }
    }
}

fn failures(of: &[Failures]) -> Markup {
    html! {
        @if !of.is_empty() {
            h2 { "Not delivered" }
            ul.rows {
                @for failure in of {
                    li {
                        strong.bad { (failure.error) }
                        span {
                            (number(failure.deliveries)) " " (plural(failure.deliveries, "message", "messages")) " in "
                            (number(failure.channels)) " " (plural(failure.channels, "channel", "channels"))
                        }
                    }
                }
            }
            p.faint { code { "/gitlab <alias> status" } " says what to do about them; " code { "lockstep.retry_deliveries()" } " sends them again." }
        }
    }
}

fn queue(of: &[Worker]) -> Markup {
    html! {
        h2 { "Jobs" }
        @if of.is_empty() { p { "No jobs are waiting." } }
        ul.rows {
            @for worker in of {
                li {
                    strong { (worker.worker) }
                    @if let Some(name) = &worker.renamed_to { span.faint { "renamed to " (name) } }
                    @if worker.drained { span.good { "drained" } }
                    @else {
                        span { (number(worker.enqueued)) " waiting" }
                        @if worker.scheduled > 0 { span.faint { (number(worker.scheduled)) " of them scheduled" } }
                        span { (number(worker.running)) " running" }
                        @if worker.dead > 0 { span.bad { (number(worker.dead)) " dead" } }
                    }
                }
            }
        }
    }
}

fn backfills(of: &[Backfill]) -> Markup {
    html! {
        h2 { "Backfills" }
        @if of.is_empty() { p { "There have been no runs." } }
        ul.rows {
            @for run in of {
                li {
                    strong { (run.job) }
                    span.faint { (run.target_table) ", run " (run.run) }
                    span.bad[run.status == "failed"] { (run.status) }
                    progress max="100" value=(run.percent) { (run.percent) " %" }
                    span { (run.percent) " %, " (number(run.scanned)) " rows seen, " (number(run.updated)) " changed" }
                    @if let Some(speed) = run.rows_per_second.filter(|_| run.status == "running") {
                        span { (number(speed as i64)) " rows/s" }
                    }
                    @if let Some(held) = &run.held_by { span.bad { "held by " (held) } }
                    @if run.set_aside > 0 { span.bad { (number(run.set_aside)) " ranges set aside" } }
                }
            }
        }
    }
}

fn features(of: &[Feature]) -> Markup {
    html! {
        h2 { "Features" }
        @if of.is_empty() { p { "No flag is set." } }
        ul.rows {
            @for feature in of {
                li {
                    strong { (feature.name) }
                    span.good[feature.state == "on"] { (feature.state) }
                    @if let Some(percentage) = feature.percentage_of_actors.filter(|it| *it > 0.0) {
                        progress max="100" value=(percentage) { (percentage) " %" }
                        span { (percentage) " % of actors" }
                    }
                    @if let Some(percentage) = feature.percentage_of_time.filter(|it| *it > 0.0) {
                        span { (percentage) " % of the time" }
                    }
                    @if feature.has_expression { span { "by an expression, which is not known here" } }
                    @if feature.actors > 0 {
                        span { (number(feature.actors)) " " (plural(feature.actors, "actor", "actors")) }
                    }
                }
            }
        }
    }
}

/// An older count says nothing about now.
const OLD: Duration = Duration::from_secs(900);

fn drifted(of: &[Drift], has_failed: bool) -> Markup {
    html! {
        h2 { "Drift" }
        @if has_failed {
            p.bad { "The check failed: the database refused, or took too long. " code { "lockstep.drift_report()" } " tells." }
        }
        @if of.iter().all(|it| it.rows.is_none()) && !has_failed { p.faint { "The check is running." } }
        ul.rows { @for it in of { li { strong { (it.what) } (differing(it)) } } }
    }
}

fn differing(of: &Drift) -> Markup {
    let Some((rows, age)) = of.rows.zip(of.age()) else {
        return html! { span.faint { "not counted yet" } };
    };
    let is_old = age >= OLD;
    let ago = match age < Duration::from_secs(60) {
        true => "counted just now".to_owned(),
        false => format!("counted {} ago", duration(age)),
    };
    html! {
        @if rows > 0 {
            span.bad { (number(rows)) @if of.is_more == Some(true) { " and more" } " " (plural(rows, "row differs", "rows differ")) }
        } @else if is_old {
            span { "none then" }
        } @else {
            span.good { "none" }
        }
        span.faint[!is_old].bad[is_old] { (ago) }
    }
}

fn plural<'a>(of: i64, one: &'a str, several: &'a str) -> &'a str {
    match of {
        1 => one,
        _ => several,
    }
}
