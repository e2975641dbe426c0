//! What an alias of a workspace belongs to, the most frequent question about integrations.

use tokio_postgres::Row;

use super::connected::Integration;
use crate::database::argument::Argument;
use crate::database::batch::Together;
use crate::database::pool::{Pool, Reserved};
use crate::error::Error;

/// An alias of a workspace.
#[derive(Clone)]
pub(super) struct Alias {
    pub(super) team: String,
    pub(super) enterprise: Option<String>,
    pub(super) alias: String,
}

pub(super) struct ByAlias {
    pool: Pool,
    schema: String,
}

const STATEMENT: &str = "
    select slack_integration_id, alias, owner, path, active, events, scopes, has_token, has_trouble, has_followers, place
      from lockstep_api.slack_integrations_by_alias($1, $2, $3, $4)";

/// Aliases as the function takes them.
struct Columns<'a> {
    teams: Vec<&'a str>,
    enterprises: Vec<Option<&'a str>>,
    aliases: Vec<&'a str>,
    schema: &'a String,
}

impl Columns<'_> {
    fn arguments(&self) -> [&dyn Argument; 4] {
        [&self.teams, &self.enterprises, &self.aliases, self.schema]
    }
}

impl ByAlias {
    pub(super) fn new(pool: &Pool, schema: &str) -> Self {
        Self {
            pool: pool.clone(),
            schema: schema.to_owned(),
        }
    }

    pub(super) async fn alone(&self, wanted: Alias) -> Result<Option<Integration>, Error> {
        let wanted = [wanted];
        let columns = self.columns(&wanted);
        let rows = self.pool.ask(STATEMENT, &columns.arguments()).await?;
        Ok(placed(&rows, 1)?.into_iter().next().flatten())
    }

    fn columns<'a>(&'a self, wanted: &'a [Alias]) -> Columns<'a> {
        let enterprises = wanted.iter().map(|it| it.enterprise.as_deref());
        Columns {
            teams: wanted.iter().map(|it| &*it.team).collect(),
            enterprises: enterprises.collect(),
            aliases: wanted.iter().map(|it| &*it.alias).collect(),
            schema: &self.schema,
        }
    }
}

impl Together for ByAlias {
    type Question = Alias;
    type Answer = Option<Integration>;
    type Session = Reserved;

    const FUNCTION: &'static str = "slack_integrations_by_alias";

    async fn session(&self) -> Result<Reserved, Error> {
        self.pool.reserve().await
    }

    async fn ask(
        &self,
        session: Reserved,
        wanted: &[Alias],
    ) -> Result<Vec<Option<Integration>>, Error> {
        let columns = self.columns(wanted);
        let arguments = columns.arguments();
        let asking = self.pool.ask_reserved(session, STATEMENT, &arguments);
        placed(&asking.await?, wanted.len())
    }
}

/// Each row at its place, counted from one.
fn placed(rows: &[Row], number: usize) -> Result<Vec<Option<Integration>>, Error> {
    let mut found = vec![None; number];
    for row in rows {
        let place: i64 = row.try_get(10)?;
        let place = usize::try_from(place - 1).ok();
        let place = place.and_then(|place| found.get_mut(place));
        *place.ok_or(Error::Silent)? = Some(Integration::read(row)?);
    }
    Ok(found)
}
