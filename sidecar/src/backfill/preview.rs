//! What a job would do.

use std::fmt::Write;
use std::process::ExitCode;

use super::arguments::Backfill;
use crate::connection::Address;
use crate::database::{Database, PreviewOutcome};
use crate::error::{Error, INTERRUPTED};
use crate::interrupt::Interrupts;
use crate::text::{number, say, tell};

/// It reads a whole table. The server would go on with that when nobody waits for it any more.
pub(super) async fn run(
    address: &Address,
    database: &Database,
    arguments: &Backfill,
    interrupts: &mut Interrupts,
) -> Result<ExitCode, Error> {
    let token = database.cancel_token();
    let asking = database.preview(&arguments.job, arguments.table.as_deref());
    tokio::pin!(asking);
    tokio::select! {
        outcomes = &mut asking => {
            say(&of(&arguments.job, &outcomes?));
            return Ok(ExitCode::SUCCESS);
        }
        () = interrupts.next() => {}
    }
    let cancelling = async {
        address.cancel(&token).await;
        let _ = asking.await;
    };
    tokio::select! {
        () = cancelling => {}
        () = interrupts.next() => {}
    }
    tell("interrupted; nothing was changed");
    Ok(ExitCode::from(INTERRUPTED))
}

fn of(job: &str, outcomes: &[PreviewOutcome]) -> String {
    // A row with two wrong columns has two.
    let values = |writes: bool| -> i64 {
        let those = outcomes.iter().filter(|it| it.writes == writes);
        those.map(|it| it.rows).sum()
    };
    let mut text = format!(
        "{job} would write {} {}, and could not resolve {}\n",
        number(values(true)),
        if values(true) == 1 { "value" } else { "values" },
        number(values(false))
    );
    let width = outcomes.iter().map(|it| it.outcome.len()).max();
    let width = width.unwrap_or_default();
    for it in outcomes {
        let examples: Vec<String> = it.examples.iter().map(i64::to_string).collect();
        // Writing to a String never fails.
        let _ = writeln!(
            text,
            "  {:<width$}  {:>11}  {}, as {}",
            it.outcome,
            number(it.rows),
            if it.writes { "written" } else { "left" },
            examples.join(", ")
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::of;
    use crate::database::PreviewOutcome;

    #[test]
    fn a_line_an_outcome() {
        let outcome = |outcome: &str, writes, rows| PreviewOutcome {
            outcome: outcome.to_owned(),
            writes,
            rows,
            examples: vec![7, 9],
        };
        let outcomes = [
            outcome("no_item", false, 20),
            outcome("resolved", true, 1_516),
        ];
        assert_eq!(
            of("service_accounts", &outcomes),
            "service_accounts would write 1,516 values, and could not resolve 20\n\
             \x20 no_item            20  left, as 7, 9\n\
             \x20 resolved        1,516  written, as 7, 9\n"
        );
    }
}
