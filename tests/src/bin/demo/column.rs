//! The two cache columns, and their correct values according to the integrations.

use anyhow::Result;
use postgres::Client;

/// A cache column of `projects`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    /// Which integrations count.
    condition: &'static str,
}

pub(crate) const TRACKER: Column = Column {
    name: "has_external_issue_tracker",
    condition: "i.active and i.category = 'issue_tracker'",
};

pub(crate) const WIKI: Column = Column {
    name: "has_external_wiki",
    condition: "i.active and i.type_new = 'Integrations::ExternalWiki'",
};

/// A project's cached and recomputed value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) project: i64,
    pub(crate) cached: Option<bool>,
    pub(crate) recomputed: bool,
}

/// How many projects have true in a cache column, how many should, and how many values are wrong (including NULL).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) cached: i64,
    pub(crate) recomputed: i64,
    pub(crate) wrong: i64,
}

impl Column {
    pub(crate) fn values(self, client: &mut Client, projects: &[i64]) -> Result<Vec<Value>> {
        let Self { name, condition } = self;
        let query = format!(
            "select p.id, p.{name}, exists (select from integrations i where i.project_id = p.id and {condition}) \
             from projects p where p.id = any ($1) order by p.id"
        );
        let rows = client.query(&query, &[&projects])?;
        let value = |row: &postgres::Row| Value {
            project: row.get(0),
            cached: row.get(1),
            recomputed: row.get(2),
        };
        Ok(rows.iter().map(value).collect())
    }

    pub(crate) fn totals(self, client: &mut Client) -> Result<Totals> {
        let Self { name, condition } = self;
        let query = format!(
            "select count(*) filter (where p.{name}), count(a.project_id), \
                    count(*) filter (where p.{name} is distinct from (a.project_id is not null)) \
             from projects p \
             left join (select distinct i.project_id from integrations i where {condition}) a on a.project_id = p.id"
        );
        let row = client.query_one(&query, &[])?;
        Ok(Totals {
            cached: row.get(0),
            recomputed: row.get(1),
            wrong: row.get(2),
        })
    }

    /// How many wrong rows the extension finds.
    pub(crate) fn drift(self, client: &mut Client) -> Result<i64> {
        let query = "select count(*) from lockstep.cache_column_drift('projects', $1::text::name)";
        Ok(client.query_one(query, &[&self.name])?.get(0))
    }

    /// Lets the extension repair wrong rows; returns how many there were.
    pub(crate) fn repair(self, client: &mut Client) -> Result<i64> {
        let query = "select lockstep.repair_cache_column('projects', $1::text::name)";
        Ok(client.query_one(query, &[&self.name])?.get(0))
    }
}
