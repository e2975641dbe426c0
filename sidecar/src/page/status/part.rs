//! The part of the page that changes.

use maud::{Markup, html};

use super::{backfills, drift, flags, jobs, messages, problem};
use crate::database::Workspace;
use crate::page::history::History;
use crate::page::landing;
use crate::page::report::Report;

/// `of_process` are the parts that this process alone knows.
pub(super) fn of(
    report: &Report,
    history: Option<&History>,
    workspaces: Option<&[Workspace]>,
    has_drift_failed: bool,
    of_process: &Markup,
) -> (String, Markup) {
    let problems = problem::of(report, workspaces, has_drift_failed);
    let workspaces = workspaces.unwrap_or_default();
    let nothing = History::default();
    let history = history.unwrap_or(&nothing);
    let body = html! {
        (problem::list(&problems))
        @if report.is_held {
            p.bad #held {
                "This database was restored or copied: no job runs and no message is sent. "
                code { "lockstep.release_restored()" } " lets them continue here, " code { "lockstep.discard_restored()" } " discards them."
            }
        }
        div.columns {
            div {
                section #messages { (messages::of(report, history)) }
                @if workspaces.iter().any(|it| landing::trouble(it).is_some()) {
                    section #workspaces { (landing::list(workspaces)) }
                }
                section #drift { (drift::of(&report.drift, &history.drift, has_drift_failed)) }
            }
            div {
                section #jobs { (jobs::of(&report.queue)) }
                section #backfills { (backfills::of(&report.backfills, &history.backfills)) }
                (of_process)
                section #flags { (flags::of(&report.features)) }
            }
        }
    };
    (problem::title(&problems), body)
}
