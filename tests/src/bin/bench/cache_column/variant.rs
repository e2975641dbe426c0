//! What maintains the cache columns in the compared databases.

use anyhow::{Result, ensure};
use lockstep_tests::host;
use postgres::Client;

/// A way to maintain the cache columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variant {
    /// Nothing does.
    None,
    /// The application's PL/pgSQL triggers, for each row.
    RowTriggers,
    /// PL/pgSQL statement triggers with transition tables: fast, but wrong when two sessions race.
    StatementTriggers,
    /// No triggers; only a set-based UPDATE of the target rows is measured, the minimum work of any trigger.
    BareUpdate,
    Lockstep,
}

impl Variant {
    pub(super) const ALL: [Self; 5] = [
        Self::None,
        Self::RowTriggers,
        Self::StatementTriggers,
        Self::BareUpdate,
        Self::Lockstep,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::RowTriggers => "row",
            Self::StatementTriggers => "statement",
            Self::BareUpdate => "update",
            Self::Lockstep => "lockstep",
        }
    }

    /// Whether the cache columns are correct after writing the source.
    pub(super) fn keeps(self) -> bool {
        !matches!(self, Self::None | Self::BareUpdate)
    }

    pub(super) fn install(self, client: &mut Client) -> Result<()> {
        match self {
            Self::None | Self::BareUpdate => Ok(()),
            Self::RowTriggers => host::run(client, host::APPLICATION_TRIGGERS),
            Self::StatementTriggers => host::run(client, host::STATEMENT_TRIGGERS),
            Self::Lockstep => {
                client.batch_execute("create extension lockstep")?;
                let query = "select count(*) filter (where feature ~ '^projects' and status = 'attached') from lockstep.attach()";
                let attached: i64 = client.query_one(query, &[])?.get(0);
                ensure!(
                    attached == 2,
                    "lockstep attached {attached} cache columns, not 2"
                );
                Ok(())
            }
        }
    }
}
