//! GitLab's commands through the sidecar, compared with the same commands sent directly to the stand-in for GitLab; and our own
//! commands while GitLab hangs. The stand-in responds immediately, so this measures what the sidecar adds, including the database
//! lookup of the project.
//!
//! All of them run wherever the kernel puts them.

use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use lockstep_tests::gitlab::{Fault, GitLab};
use lockstep_tests::slack::{App, Caller};

use super::command::{TEAM, Typed, USER};
use super::contender::Contender;
use super::load::{self, Outcome, Pace};
use super::placement::Placement;
use super::rounds::Course;
use super::workspace::{self, ALIAS};
use crate::Report;
use crate::figure::{Figure, Reach};
use crate::median::median;
use crate::selection::Selection;
use crate::server::{Copy, Server};
use crate::size::Size;
use crate::table::Table;

pub(crate) const NAME: &str = "pass_through";

/// Requests per second; each finds an idle sidecar.
const RATE: f64 = 200.0;

/// Commands per second that GitLab does not answer.
const HANGING: f64 = 10.0;

pub(crate) fn run(_: &Selection, size: Size) -> Result<Report> {
    let mut report = Report {
        table: Table::with_heading(["what", "directly", "through the sidecar", "unit"]),
        figures: Vec::new(),
    };
    let mut server = Server::start()?;
    workspace::create(&mut server, &[Course::Status])?;
    server.with_copy(workspace::TEMPLATE, |copy| {
        copy.settle()?;
        let bench = Bench::new(copy, size)?;
        bench.compare(size.rounds, &mut report)?;
        bench.hang(size.rounds, &mut report)
    })?;
    server.drop_database(workspace::TEMPLATE)?;
    Ok(report)
}

struct Bench {
    gitlab: GitLab,
    sidecar: Contender,
    direct: Caller,
    lasting: Duration,
}

fn gitlabs() -> Typed {
    Typed {
        text: format!("{ALIAS} issue show 1"),
        expected: "Make tea",
    }
}

fn ours() -> Typed {
    Typed {
        text: format!("{ALIAS} status"),
        expected: "Active",
    }
}

impl Bench {
    fn new(copy: &Copy, size: Size) -> Result<Self> {
        let gitlab = GitLab::start(App::default())?;
        gitlab.keep_nothing();
        gitlab.connect(TEAM, ALIAS, ALIAS);
        gitlab.link(TEAM, USER, "somebody");
        let database = copy.cluster.address(copy.database());
        let url = gitlab.base_url();
        let settings = [
            ("LOCKSTEP_GITLAB_URL", &*url),
            // Hanging requests time out before the next round.
            ("LOCKSTEP_GITLAB_TIMEOUT", "3"),
            // The missing Slack is intended.
            ("RUST_LOG", "error"),
        ];
        let sidecar = Contender::sidecar(Placement::Free, &database, &settings)?;
        let direct = Caller::new(&url, App::default());
        for caller in [&direct, &sidecar.caller] {
            let text = gitlabs().answer(caller)?;
            ensure!(text.contains(gitlabs().expected), "{text}");
        }
        ours().check(&sidecar.caller)?;
        Ok(Self {
            gitlab,
            sidecar,
            direct,
            // 5 s by default.
            lasting: Duration::from_secs_f64(f64::from(size.rows) / 20_000.0),
        })
    }

    fn directly(&self, pace: Pace) -> Result<Outcome> {
        let requests = gitlabs().requests(&self.direct);
        load::run(self.gitlab.address(), requests, pace, self.lasting, None)
    }

    fn through(&self, typed: &Typed, pace: Pace) -> Result<Outcome> {
        let requests = typed.requests(&self.sidecar.caller);
        load::run(self.sidecar.address, requests, pace, self.lasting, None)
    }

    /// The same commands to both.
    fn compare(&self, rounds: usize, report: &mut Report) -> Result<()> {
        self.through(&gitlabs(), Pace::Greedy)?;
        let mut rates = [Vec::new(), Vec::new()];
        let mut p99s = [Vec::new(), Vec::new()];
        let (mut ratios, mut added, mut costs) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            let direct = self.directly(Pace::Greedy)?;
            let before = self.sidecar.cpu_time()?;
            let through = self.through(&gitlabs(), Pace::Greedy)?;
            let took = self.sidecar.cpu_time()? - before;
            costs.push(took * 1e6 / through.times.len() as f64);
            let pair = [direct.rate, through.rate];
            ratios.push(pair[1] / pair[0]);
            let slow = Pace::PerSecond(RATE);
            let times = [
                self.directly(slow)?.percentile(0.99),
                self.through(&gitlabs(), slow)?.percentile(0.99),
            ];
            added.push(times[1] - times[0]);
            for side in 0..2 {
                rates[side].push(pair[side]);
                p99s[side].push(times[side]);
            }
            eprintln!("bench: {NAME}: {pair:.0?} req/s, {times:.2?} ms at p99");
        }
        for (what, values, unit) in [
            ("requests a second", rates, "req/s"),
            ("p99 at 200 requests a second", p99s, "ms"),
        ] {
            let [direct, through] = values.map(median);
            row(report, what, direct, through, unit);
        }
        report.figures.extend([
            Figure::with_reach(
                format!("{NAME}/added_p99"),
                median(added),
                "ms",
                Reach::AtMost(5.0),
            ),
            Figure::with_reach(
                format!("{NAME}/of_direct"),
                median(ratios),
                "ratio",
                Reach::AtLeast(0.5),
            ),
            Figure::plain(format!("{NAME}/cpu"), median(costs), "us"),
        ]);
        Ok(())
    }

    /// Our own commands, without and with a GitLab that does not respond.
    fn hang(&self, rounds: usize, report: &mut Report) -> Result<()> {
        let own = || self.through(&ours(), Pace::PerSecond(RATE));
        own()?;
        let mut p99s = [Vec::new(), Vec::new()];
        let mut ratios = Vec::new();
        for _ in 0..rounds {
            self.gitlab.fail(&[], false);
            let without = own()?.percentile(0.99);
            self.gitlab
                .fail(&[Fault::Slow(Duration::from_secs(3_600))], true);
            let with = thread::scope(|scope| -> Result<Outcome> {
                let hanging = scope.spawn(|| self.through(&gitlabs(), Pace::PerSecond(HANGING)));
                let outcome = own();
                let hung = hanging.join().map_err(|_| anyhow!("a thread ended"))??;
                ensure!(hung.percentile(0.1) > 2_000.0, "GitLab has answered");
                outcome
            })?
            .percentile(0.99);
            ratios.push(with / without);
            p99s[0].push(without);
            p99s[1].push(with);
            eprintln!(
                "bench: {NAME}: our own at p99 {without:.2} ms, with a GitLab that hangs {with:.2} ms"
            );
        }
        let [without, with] = p99s.map(median);
        row(
            report,
            "our own p99, GitLab well and hanging",
            without,
            with,
            "ms",
        );
        report.figures.push(Figure::with_reach(
            format!("{NAME}/own_with_hanging"),
            median(ratios),
            "ratio",
            Reach::AtMost(1.2),
        ));
        Ok(())
    }
}

fn row(report: &mut Report, what: &str, one: f64, other: f64, unit: &str) {
    report.table.push(vec![
        what.to_owned(),
        format!("{one:.2}"),
        format!("{other:.2}"),
        unit.to_owned(),
    ]);
}
