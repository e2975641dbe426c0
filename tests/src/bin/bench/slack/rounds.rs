//! Rounds: each measures every course once, so that other load on the machine affects all of them.

use std::time::Duration;

use anyhow::{Context, Result};

use super::NAME;
use super::command::Typed;
use super::contender::Contender;
use super::load::{self, Pace};
use super::placement::Placement;
use super::workspace;
use crate::median::median;
use crate::server::Copy;
use crate::size::Size;

/// Who is asked what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Course {
    /// The sidecar, for an answer it knows by itself.
    Help,
    /// The sidecar, for an answer from the database.
    Status,
    /// Bolt.
    Bolt,
}

impl Course {
    pub(super) const OURS: [Self; 2] = [Self::Help, Self::Status];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Help => "help",
            Self::Status => "status",
            Self::Bolt => "bolt",
        }
    }

    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Help => "/gitlab help",
            Self::Status => "/gitlab <alias> status, asks the database",
            Self::Bolt => "Bolt, any command",
        }
    }

    /// The goal, as a multiple of Bolt's responses.
    pub(super) fn least_ratio(self) -> Option<f64> {
        match self {
            Self::Help => Some(8.0),
            Self::Status => Some(2.5),
            Self::Bolt => None,
        }
    }

    pub(super) fn typed(self) -> Typed {
        match self {
            Self::Help | Self::Bolt => Typed {
                text: "help".to_owned(),
                expected: "*Commands*",
            },
            Self::Status => Typed {
                text: format!("{} status", workspace::ALIAS),
                expected: "Active",
            },
        }
    }
}

/// The measurements of one course, one value per round.
pub(super) struct OfCourse {
    pub(super) course: Course,
    /// Responses per second.
    pub(super) rates: Vec<f64>,
    /// Relative to Bolt's in that round.
    pub(super) ratios: Vec<f64>,
    /// The server's CPU time per response in microseconds.
    pub(super) costs: Vec<f64>,
    /// In milliseconds, at half of the median rate.
    pub(super) p99s: Vec<f64>,
}

pub(super) struct Measured {
    pub(super) courses: Vec<OfCourse>,
    /// In MB.
    pub(super) sidecars_memory: f64,
    pub(super) bolts_memory: f64,
}

/// Both contenders, ready to respond.
pub(super) struct Rounds {
    placement: Placement,
    sidecar: Contender,
    bolt: Contender,
    courses: Vec<Course>,
}

impl Rounds {
    /// Starts both. Bolt responds with the same text as the sidecar does to `help`.
    pub(super) fn new(placement: Placement, copy: &Copy, courses: &[Course]) -> Result<Self> {
        let sidecar = Contender::sidecar(placement, &copy.cluster.address(copy.database()), &[])?;
        for course in courses {
            course
                .typed()
                .check(&sidecar.caller)
                .context("the sidecar")?;
        }
        let text = Course::Help.typed().check(&sidecar.caller)?;
        let bolt = Contender::bolt(placement, &text)?;
        Course::Bolt.typed().check(&bolt.caller).context("Bolt")?;
        Ok(Self {
            placement,
            sidecar,
            bolt,
            courses: courses.iter().copied().chain([Course::Bolt]).collect(),
        })
    }

    pub(super) fn run(self, size: Size) -> Result<Measured> {
        // 5 s by default.
        let lasting = Duration::from_secs_f64(f64::from(size.rows) / 20_000.0);
        // Warms up until node has compiled the hot code and all database sessions are open.
        for course in &self.courses {
            self.load(*course, Pace::Greedy, lasting)?;
        }
        let mut all: Vec<OfCourse> = self
            .courses
            .iter()
            .map(|course| OfCourse::new(*course))
            .collect();
        for _ in 0..size.rounds {
            for of in &mut all {
                let contender = self.contender(of.course);
                let before = contender.cpu_time()?;
                let outcome = self.load(of.course, Pace::Greedy, lasting)?;
                let took = contender.cpu_time()? - before;
                of.rates.push(outcome.rate);
                of.costs.push(took * 1e6 / outcome.times.len() as f64);
            }
            let bolts = all.iter().find(|of| of.course == Course::Bolt);
            let bolts = bolts.and_then(|of| of.rates.last()).copied();
            for of in &mut all {
                let rate = of.rates.last().copied();
                of.ratios
                    .extend(rate.zip(bolts).map(|(rate, bolts)| rate / bolts));
            }
            self.tell(&all, "req/s", |of| &of.rates);
            self.tell(&all, "us of CPU a request", |of| &of.costs);
        }
        for _ in 0..size.rounds {
            for of in &mut all {
                let half = Pace::PerSecond(median(of.rates.iter().copied()) / 2.0);
                of.p99s
                    .push(self.load(of.course, half, lasting)?.percentile(0.99));
            }
            self.tell(&all, "ms, p99 at half of that", |of| &of.p99s);
        }
        Ok(Measured {
            courses: all,
            sidecars_memory: self.sidecar.peak_memory()?,
            bolts_memory: self.bolt.peak_memory()?,
        })
    }

    fn contender(&self, course: Course) -> &Contender {
        match course {
            Course::Help | Course::Status => &self.sidecar,
            Course::Bolt => &self.bolt,
        }
    }

    fn load(&self, course: Course, pace: Pace, lasting: Duration) -> Result<load::Outcome> {
        let contender = self.contender(course);
        let requests = course.typed().requests(&contender.caller);
        load::run(
            contender.address,
            requests,
            pace,
            lasting,
            self.placement.generator(),
        )
        .with_context(|| course.name())
    }

    fn tell(&self, all: &[OfCourse], unit: &str, values: fn(&OfCourse) -> &Vec<f64>) {
        let values = all.iter().map(|of| {
            let value = values(of).last().copied().unwrap_or(f64::NAN);
            format!("{} {value:.2}", of.course.name())
        });
        let values: Vec<String> = values.collect();
        eprintln!(
            "bench: {NAME}, {}: {} {unit}",
            self.placement.name(),
            values.join(", ")
        );
    }
}

impl OfCourse {
    fn new(course: Course) -> Self {
        Self {
            course,
            rates: Vec::new(),
            ratios: Vec::new(),
            costs: Vec::new(),
            p99s: Vec::new(),
        }
    }
}
