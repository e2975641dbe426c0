//! Shows a run's progress: one line that is redrawn in a terminal, or an occasional line elsewhere.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::database::{Progress, Status};
use crate::text::{duration, number, short, tell};

/// The maximum number of redraws per second.
const REDRAWS: u8 = 5;

/// Columns of the bar itself, with enough room and without.
const CELLS: [usize; 2] = [10, 5];

/// From this width on, numbers are written in full.
const WIDE: u16 = 120;

pub(super) enum Display {
    Bar { bar: ProgressBar, colors: bool },
    Lines(Lines),
}

pub(super) struct Lines {
    every: Duration,
    /// The time of the last line, with the status and the reason for a hold at that time.
    last: Option<(Instant, Status, Option<String>)>,
}

impl Display {
    pub(super) fn new(every: u64) -> Self {
        if !stderr().is_terminal() {
            return Self::Lines(Lines {
                every: Duration::from_secs(every),
                last: None,
            });
        }
        let colors = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let target = ProgressDrawTarget::stderr_with_hz(REDRAWS);
        let bar = ProgressBar::with_draw_target(None, target);
        // The bar is part of the message: separately, each would be drawn with an old state of the other. The template is a
        // constant, and the default one would also work.
        if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
            bar.set_style(style);
        }
        Self::Bar { bar, colors }
    }

    /// Prints a message once.
    pub(super) fn note(&self, text: &str) {
        match self {
            Self::Bar { bar, .. } => bar.suspend(|| tell(text)),
            Self::Lines(_) => tell(text),
        }
    }

    pub(super) fn show(&mut self, progress: &Progress) {
        match self {
            Self::Bar { bar, colors } => {
                let (_, width) = Term::stderr().size();
                let wide = width >= WIDE;
                let cells = CELLS[usize::from(!wide)];
                let line = line(progress, wide, *colors);
                bar.set_message(format!(
                    "{} {line}",
                    drawn(progress.percent, cells, *colors)
                ));
            }
            Self::Lines(lines) => lines.show(progress),
        }
    }

    pub(super) fn clear(&self) {
        if let Self::Bar { bar, .. } = self {
            bar.finish_and_clear();
        }
    }
}

impl Lines {
    fn show(&mut self, progress: &Progress) {
        let is_due = self.last.as_ref().is_none_or(|(at, status, held_by)| {
            at.elapsed() >= self.every || *status != progress.status || *held_by != progress.held_by
        });
        if is_due {
            tell(&line(progress, true, false));
            let now = Instant::now();
            self.last = Some((now, progress.status, progress.held_by.clone()));
        }
    }
}

fn drawn(percent: f64, cells: usize, colors: bool) -> String {
    let done = (percent * cells as f64 / 100.0) as usize;
    let done = done.min(cells);
    let (filled, rest) = ("━".repeat(done), "─".repeat(cells - done));
    match colors {
        true => format!("\x1b[32m{filled}\x1b[0m{rest}"),
        false => format!("{filled}{rest}"),
    }
}

/// The progress in one line, the most important part first: what does not fit is cut off on the right.
fn line(progress: &Progress, wide: bool, colors: bool) -> String {
    let count = if wide { number } else { short };
    let mut parts = vec![format!("{:.1}%", progress.percent)];
    let state = match &progress.held_by {
        Some(reason) if progress.workers > 0 => Some(format!("held: {reason}")),
        Some(reason) => Some(reason.clone()),
        None if progress.status != Status::Running => Some(progress.status.name().to_owned()),
        None => None,
    };
    parts.extend(state.map(|state| match colors {
        true => format!("\x1b[33m{state}\x1b[0m"),
        false => state,
    }));
    let of = if wide { " of " } else { "/" };
    parts.push(format!(
        "{}{of}{}{}",
        count(progress.scanned),
        count(progress.rows_estimated.max(progress.scanned)),
        if wide { " rows" } else { "" }
    ));
    if progress.status == Status::Running {
        let rate = progress.rows_per_second.map(|rate| count(rate as i64));
        parts.extend(rate.map(|rate| format!("{rate}{}", if wide { " rows/s" } else { "/s" })));
        let left = progress
            .remaining
            .map(|left| left.max(Duration::from_secs(1)));
        parts.extend(left.map(|left| format!("{} left", whole(left))));
    }
    let wanted = usize::try_from(progress.workers_wanted).unwrap_or_default();
    parts.push(match (progress.workers, wanted) {
        (1, 0 | 1) => "1 worker".to_owned(),
        (workers, wanted) if workers < wanted => format!("{workers} of {wanted} workers"),
        (workers, _) => format!("{workers} workers"),
    });
    parts.push(format!("{} updated", count(progress.updated)));
    let unresolved = progress.unresolved_rows();
    if wide || unresolved > 0 {
        parts.push(format!("{} unresolved", count(unresolved)));
    }
    if progress.set_aside > 0 {
        parts.push(format!("{} set aside", progress.set_aside));
    }
    parts.join(if wide { ", " } else { "  " })
}

/// The time left is an estimate in whole seconds.
fn whole(left: Duration) -> String {
    match left.as_secs() {
        seconds @ 0..10 => format!("{seconds} s"),
        _ => duration(left),
    }
}
