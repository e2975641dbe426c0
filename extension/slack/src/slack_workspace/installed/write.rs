//! What an installation writes into the application's tables: the owner's row, and the shared values of the team's other rows.

use crate::error::{Result, SlackError};
use crate::slack_workspace::host::{Host, Owner, Tables, lock};
use crate::slack_workspace::identical::{Installation, ScopesOfRow, Writing, spread, write_scopes};
use lockstep_server::error::notice;
use lockstep_server::host::{NOW, differ, qualified};
use lockstep_server::{Statement, View, datum, keys_argument, nullable};
use pgrx::pg_sys::{self, Datum};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// The result of an installation: the owner's row, its alias, and how many rows were written.
pub(in crate::slack_workspace) type Installed = (Option<i64>, Option<String>, i64);

/// Users type the alias to say which project they mean.
pub(in crate::slack_workspace) fn check_alias(alias: &str) -> Result<()> {
    match alias.chars().count() {
        2..=4096 => Ok(()),
        _ => Err(SlackError::AliasLength.into()),
    }
}

pub(super) struct Write<'a> {
    pub(super) tables: &'a Tables,
    pub(super) installation: &'a Installation<'a>,
}

impl Write<'_> {
    /// Locks the team, and the team that the integration's row is about to leave: a writer of that team must not find that the
    /// row has moved in the meantime.
    pub(super) fn lock(&self, integration: Option<i64>) {
        let table = self.tables.slack.oid;
        let mut teams = BTreeSet::from([self.installation.team_id.to_owned()]);
        loop {
            lock::teams(table, teams.iter().map(String::as_str));
            let now = integration.map(|it| self.teams_of(it)).unwrap_or_default();
            if now.is_subset(&teams) {
                return;
            }
            teams.extend(now);
        }
    }

    /// The teams in which an integration has rows.
    fn teams_of(&self, integration: i64) -> BTreeSet<String> {
        let query = self.statement(
            "select s.team_id::pg_catalog.text from {slack} s where s.integration_id == $1",
            &[pg_sys::INT8OID],
        );
        let mut teams = BTreeSet::new();
        self.tables.as_owner(|| {
            query.rows(View::Newest, &[datum(integration)], |row| {
                teams.extend(row.get::<String>(1))
            });
        });
        teams
    }

    /// Writes an owner's row and updates the others of the team.
    pub(super) fn row_of(
        &self,
        owner: Owner,
        path: &str,
        integration: i64,
        alias: Option<&str>,
    ) -> Result<Installed> {
        let found = self.find(integration);
        let kept = found.as_ref().and_then(|row| row.alias.as_deref());
        let alias = match alias.or(kept) {
            Some(alias) => match self.is_taken(alias, integration) {
                true => {
                    return Err(SlackError::AliasTaken {
                        alias: alias.to_owned(),
                        team: self.installation.team_id.to_owned(),
                    }
                    .into());
                }
                false => alias.to_owned(),
            },
            None => self.free_alias(owner, path, integration)?,
        };
        let _writing = self.begin();
        let (row, written) = match found {
            Some(row) => {
                if row.alias.is_none() {
                    let team = self.installation.team_id;
                    notice(
                        format!("integration {integration} moves to Slack workspace {team}"),
                        "It was connected to another workspace, which is no longer notified.",
                        "To go back, install the app for its owner there again.",
                    );
                }
                let written = self.update(row.id, &alias);
                (row.id, written)
            }
            None => (self.insert(owner, integration, &alias)?, 1),
        };
        let written = self.finish(row, written);
        Ok((Some(row), Some(alias), written))
    }

    /// Without an owner: the rows of the team, represented by one.
    pub(super) fn rows_there_are(&self) -> i64 {
        let first = self.statement(
            "select s.id::pg_catalog.int8 from {slack} s where s.team_id == $1 order by s.id limit 1",
            &[pg_sys::TEXTOID],
        );
        let mut row = None;
        self.tables.as_owner(|| {
            let arguments = [datum(self.installation.team_id)];
            first.rows(View::Newest, &arguments, |answer| row = answer.get(1));
        });
        let Some(row) = row else { return 0 };
        let _writing = self.begin();
        let written = self.update_shared(row);
        self.finish(row, written)
    }

    fn begin(&self) -> Writing {
        let team = self.installation.team_id.to_owned();
        Writing::begin(self.tables.slack.oid, vec![team])
    }

    /// Writes the scopes of the new row and updates the others; returns how many rows were written in total.
    fn finish(&self, row: i64, mut written: u64) -> i64 {
        let tables = self.tables;
        let touch = self.statement(
            &format!("update {{slack}} s set updated_at = {NOW} where s.id == $1"),
            &[pg_sys::INT8OID],
        );
        let winners = BTreeMap::from([(self.installation.team_id.to_owned(), row)]);
        tables.as_owner(|| {
            let has_others = write_scopes(tables, &self.scopes_of(row));
            if has_others && written == 0 {
                written += touch.run(&[datum(row)]);
            }
            (written + spread(tables, &winners)) as i64
        })
    }

    /// The row's current and target scopes.
    fn scopes_of(&self, row: i64) -> Vec<ScopesOfRow> {
        let mut rows = Vec::new();
        let arguments = [keys_argument(&[row])];
        let scopes_of = &self.tables.statements.scopes_of;
        scopes_of.rows(View::Newest, &arguments, |answer| {
            rows.push(ScopesOfRow {
                row,
                organization: answer.get(2),
                scopes: answer.get(3).unwrap_or_default(),
                wanted: Some(Rc::from(self.installation.scopes.as_slice())),
            });
        });
        rows
    }

    fn statement(&self, text: &str, parameters: &[pg_sys::Oid]) -> Statement {
        let text = text.replace("{slack}", &self.tables.slack.qualified_name());
        Statement::new(&qualified(&text), parameters)
    }

    /// The integration's row in this team, otherwise one that moves here from another team.
    fn find(&self, integration: i64) -> Option<Row> {
        let query = self.statement(
            "select s.id::pg_catalog.int8, case when s.team_id == $2 then s.alias::pg_catalog.text end
               from {slack} s where s.integration_id == $1
              order by (s.team_id == $2) desc, s.id desc limit 1",
            &[pg_sys::INT8OID, pg_sys::TEXTOID],
        );
        let arguments = [datum(integration), datum(self.installation.team_id)];
        let mut found = None;
        self.tables.as_owner(|| {
            query.rows(View::Newest, &arguments, |row| {
                found = row.get(1).map(|id| Row {
                    id,
                    alias: row.get(2),
                });
            });
        });
        found
    }

    /// The full path, or a longer one if that is taken in the team.
    fn free_alias(&self, owner: Owner, path: &str, integration: i64) -> Result<String> {
        let longer = format!("{path}/{}-{}", owner.letter(), owner.id);
        for alias in [path, &longer] {
            check_alias(alias)?;
            if !self.is_taken(alias, integration) {
                return Ok(alias.to_owned());
            }
        }
        Err(SlackError::AliasTaken {
            alias: longer,
            team: self.installation.team_id.to_owned(),
        }
        .into())
    }

    fn is_taken(&self, alias: &str, integration: i64) -> bool {
        let query = self.statement(
            "select 1 from {slack} s where s.team_id == $1 and s.alias == $2 and s.integration_id <> $3 limit 1",
            &[pg_sys::TEXTOID, pg_sys::TEXTOID, pg_sys::INT8OID],
        );
        let arguments = [
            datum(self.installation.team_id),
            datum(alias),
            datum(integration),
        ];
        let taken = || query.run_seeing(View::Newest, &arguments) > 0;
        self.tables.as_owner(taken)
    }

    fn shared(&self) -> [Datum; 4] {
        [
            datum(self.installation.user_id),
            datum(self.installation.bot_user_id),
            datum(self.installation.token),
            datum(self.installation.token_iv),
        ]
    }

    /// Writes the row if anything differs.
    fn update(&self, row: i64, alias: &str) -> u64 {
        let differs = differs(&[
            ("user_id", 2),
            ("bot_user_id", 3),
            ("encrypted_bot_access_token", 4),
            ("encrypted_bot_access_token_iv", 5),
            ("team_id", 6),
            ("team_name", 7),
            ("alias", 8),
        ]);
        let update = self.statement(
            &format!(
                "update {{slack}} s
                    set user_id = $2, bot_user_id = $3, encrypted_bot_access_token = $4, encrypted_bot_access_token_iv = $5,
                        team_id = $6, team_name = $7, alias = $8, updated_at = {NOW}
                  where s.id == $1 and ({differs})"
            ),
            &[
                pg_sys::INT8OID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::BYTEAOID,
                pg_sys::BYTEAOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
            ],
        );
        let [user, bot, token, iv] = self.shared();
        let arguments = [
            datum(row),
            user,
            bot,
            token,
            iv,
            datum(self.installation.team_id),
            datum(self.installation.team_name),
            datum(alias),
        ];
        self.tables.as_owner(|| update.run(&arguments))
    }

    /// Writes the workspace's values into one row if any differ.
    fn update_shared(&self, row: i64) -> u64 {
        let differs = differs(&[
            ("user_id", 2),
            ("bot_user_id", 3),
            ("encrypted_bot_access_token", 4),
            ("encrypted_bot_access_token_iv", 5),
        ]);
        let update = self.statement(
            &format!(
                "update {{slack}} s
                    set user_id = $2, bot_user_id = $3, encrypted_bot_access_token = $4, encrypted_bot_access_token_iv = $5,
                        updated_at = {NOW}
                  where s.id == $1 and s.team_id == $6 and ({differs})"
            ),
            &[
                pg_sys::INT8OID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::BYTEAOID,
                pg_sys::BYTEAOID,
                pg_sys::TEXTOID,
            ],
        );
        let [user, bot, token, iv] = self.shared();
        let team = datum(self.installation.team_id);
        let arguments = [datum(row), user, bot, token, iv, team];
        self.tables.as_owner(|| update.run(&arguments))
    }

    fn insert(&self, owner: Owner, integration: i64, alias: &str) -> Result<i64> {
        let columns = Host::owner_columns(&self.tables.slack);
        let place = |column: &&str| match *column {
            "project_id" => "$9",
            "group_id" => "$10",
            _ => "$11",
        };
        let values: String = columns
            .iter()
            .map(|column| format!(", {}", place(column)))
            .collect();
        let names: String = columns.iter().map(|column| format!(", {column}")).collect();
        let insert = self.statement(
            &format!(
                "insert into {{slack}} as s (integration_id, user_id, bot_user_id, encrypted_bot_access_token, encrypted_bot_access_token_iv,
                                             team_id, team_name, alias, created_at, updated_at{names})
                 values ($1, $2, $3, $4, $5, $6, $7, $8, {NOW}, {NOW}{values}) returning s.id::pg_catalog.int8"
            ),
            &[
                pg_sys::INT8OID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::BYTEAOID,
                pg_sys::BYTEAOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::INT8OID,
                pg_sys::INT8OID,
                pg_sys::INT8OID,
            ],
        );
        let [user, bot, token, iv] = self.shared();
        let [project, group, organization] = owner.columns();
        let arguments = [
            Some(datum(integration)),
            Some(user),
            Some(bot),
            Some(token),
            Some(iv),
            Some(datum(self.installation.team_id)),
            Some(datum(self.installation.team_name)),
            Some(datum(alias)),
            nullable(project),
            nullable(group),
            nullable(organization),
        ];
        let mut id = None;
        self.tables.as_owner(|| {
            insert.rows_with_nulls(View::Newest, &arguments, |row| id = row.get(1));
        });
        // A trigger of the application may discard the row.
        id.ok_or_else(|| SlackError::NotInserted.into())
    }
}

struct Row {
    id: i64,
    /// Of a row in this team.
    alias: Option<String>,
}

/// A condition: row `s` differs from the parameters in these columns.
fn differs(columns: &[(&str, usize)]) -> String {
    let conditions: Vec<String> = columns
        .iter()
        .map(|(column, place)| differ(&format!("s.{column}"), &format!("${place}")))
        .collect();
    conditions.join(" or ")
}
