//! Runs of backfill jobs, the last one first.

use maud::{Markup, html};

use super::moment::ago;
use super::plot::{Line, Look, Plot};
use crate::page::history::BackfillPoints;
use crate::page::markup::name;
use crate::page::report::{Backfill, length};
use crate::text::{duration, number, short};

pub(super) fn of(of: &[Backfill], history: &[BackfillPoints]) -> Markup {
    html! {
        h2 { "Backfills" }
        @if of.is_empty() { p { "There have been no runs." } }
        ul.rows { @for run in of { li { (row(run, history)) } } }
    }
}

fn row(run: &Backfill, history: &[BackfillPoints]) -> Markup {
    let is_running = run.status == "running";
    html! {
        strong { (name(&run.job)) }
        span.faint { (name(&run.target_table)) ", run " (run.run) }
        span.bad[run.status == "failed"] { (run.status) }
        progress.failed[run.status == "failed"] max="100" value=(run.percent)
            aria-label={ "run " (run.run) " of " (run.job) } { (run.percent) " %" }
        span { (run.percent) " %, " (number(run.scanned)) " rows seen, " (number(run.updated)) " changed" }
        @if let Some(speed) = run.rows_per_second.filter(|_| is_running) { span { (number(speed as i64)) " rows/s" } }
        @if let Some(seconds) = run.remaining_seconds.filter(|_| is_running) { span { "about " (duration(length(seconds))) " left" } }
        @if run.finished_at.is_some() { span.faint { "ended " (ago(run.finished_at.as_ref(), run.age_seconds)) } }
        @else { span.faint { "started " (ago(run.started_at.as_ref(), run.age_seconds)) } }
        @if let Some(held) = &run.held_by { span.bad { "held by " (held) } }
        @if run.set_aside > 0 { span.bad { (number(run.set_aside)) " ranges set aside" } }
        @if let Some(error) = run.last_error.as_ref().filter(|_| run.status != "finished") { span.bad { (error) } }
        @if let Some(points) = history.iter().find(|it| it.run == run.run).filter(|_| is_running) { (plots(run, points)) }
    }
}

fn plots(run: &Backfill, of: &BackfillPoints) -> Markup {
    let plot = |title, written, points| Plot {
        title,
        written,
        ends: ["its start, or a day ago", "now"],
        lines: vec![Line {
            name: "",
            look: Look::First,
            points,
        }],
    };
    let rates = plot("Rows a second", |value| short(value as i64), of.rates());
    let left = plot(
        "Time left",
        |value| duration(length(value)),
        of.remaining(run.rows_estimated),
    );
    html! { (rates.draw()) (left.draw()) }
}
