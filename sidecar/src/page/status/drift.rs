//! Rows that differ, as they were last counted.

use std::time::Duration;

use maud::{Markup, html};

use super::moment::ago;
use super::plot::{Line, Look, Plot};
use crate::page::history::DriftDays;
use crate::page::markup::name;
use crate::page::report::Drift;
use crate::text::{number, plural, short};

/// An older count says nothing about now.
const OLD: Duration = Duration::from_secs(900);

pub(super) fn of(of: &[Drift], history: &[DriftDays], has_failed: bool) -> Markup {
    html! {
        h2 { "Drift" }
        @if has_failed {
            p.bad { "The check failed: the database refused, or took too long. " code { "lockstep.drift_report()" } " tells." }
        }
        @if of.iter().all(|it| it.rows.is_none()) && !has_failed { p.faint { "The check is running." } }
        @if !of.is_empty() {
            table {
                thead { tr { th scope="col" { "column" } th scope="col" { "rows" } th scope="col" { "counted" } } }
                tbody { @for it in of { tr { th scope="row" { (name(&it.what)) } (differing(it)) } } }
            }
        }
        @for it in history { (days(it)) }
    }
}

fn differing(of: &Drift) -> Markup {
    let Some((rows, age)) = of.rows.zip(of.age()) else {
        return html! { td.faint colspan="2" { "not counted yet" } };
    };
    let is_old = age >= OLD;
    html! {
        td data-label="rows" {
            @if rows > 0 {
                span.bad { (number(rows)) @if of.is_more == Some(true) { " and more" } " " (plural(rows, "row differs", "rows differ")) }
            } @else if is_old {
                span { "none then" }
            } @else {
                span.good { "none" }
            }
        }
        td data-label="counted" {
            span.faint[!is_old].bad[is_old] { (ago(of.checked_at.as_ref(), of.age_seconds)) }
        }
    }
}

/// Days without drift need no picture.
fn days(of: &DriftDays) -> Markup {
    if of.days.iter().all(|day| day.rows == 0.0) {
        return html! {};
    }
    let plot = Plot {
        title: &of.what,
        written: |rows| format!("{} rows", short(rows as i64)),
        ends: ["a month ago, or the first day", "today"],
        lines: vec![Line {
            name: "",
            look: Look::First,
            points: of.days.iter().map(|day| (day.at, Some(day.rows))).collect(),
        }],
    };
    plot.draw()
}
