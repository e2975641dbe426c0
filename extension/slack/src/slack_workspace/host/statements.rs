//! The statements that compare and synchronize the rows of teams, each for any number of teams.

use super::tables::Host;
use lockstep_server::Statement;
use lockstep_server::host::{Relation, differ, qualified};
use pgrx::pg_sys::{self, Oid};
use std::rc::Rc;

/// The columns that belong to the workspace, not to one integration.
pub(crate) const SHARED: [&str; 5] = [
    "user_id",
    "bot_user_id",
    "encrypted_bot_access_token",
    "encrypted_bot_access_token_iv",
    "updated_at",
];

pub(crate) struct Statements {
    /// `$1` the first id, `$2` the last: id, team, scopes.
    pub(crate) links_of: Statement,
    /// `$1` team, `$2` ids: any other row of the team, preferably with a token, then with scopes.
    pub(crate) one: Statement,
    pub(crate) one_with_token: Statement,
    pub(crate) one_with_scopes: Statement,
    /// `$1` ids: id and team of those without a scope.
    pub(crate) without_scopes: Statement,
    /// `$1` team: whether it has rows.
    pub(super) has_rows: Statement,
    /// `$1` scopes: id and name of those that exist.
    pub(crate) names_of: Statement,
    /// `$1` teams: the best row of each, as team and id.
    pub(crate) best: Statement,
    /// `$1` ids: team, token, its iv, user, bot user, names of scopes in any order, an organization of these, id, time.
    pub(crate) describe: Statement,
    /// `$1` ids: team, token, scopes, id. For many rows, whose scopes are mostly the same.
    pub(crate) noted: Statement,
    /// `$1` ids of winners: for each other row of their teams the id, the winner's id, which shared columns differ (one bit
    /// each), its organization and its scopes.
    pub(crate) others: Statement,
    /// The same for those rows that are in `$2`.
    pub(crate) these: Statement,
    /// `$1` ids: id, organization, scopes.
    pub(crate) scopes_of: Statement,
    /// `$1` ids, `$2` the winners of their teams, a few: writes the shared columns.
    pub(crate) write_rows: Statement,
    /// `$1` names, `$2` organizations: the scopes with these names and organizations, as id, name, organization.
    pub(crate) scopes: Statement,
    /// `$1` names, `$2` organizations, in pairs: creates the missing scopes.
    pub(crate) create_scopes: Statement,
    /// `$1` ids, `$2` a scope.
    pub(crate) delete_links: Statement,
    /// `$1` ids, `$2` a scope.
    pub(crate) insert_links: Statement,
}

/// A query planned by index: a team may have one row or ten thousand, with the same plan.
pub(crate) fn by_index(text: &str, parameters: &[Oid]) -> Statement {
    let columns = [
        "id",
        "team_id",
        "slack_integration_id",
        "organization_id",
        "name",
    ];
    let columns: Rc<[String]> = columns.iter().map(ToString::to_string).collect();
    Statement::by_index(&qualified(text), parameters, &columns)
}

impl Statements {
    pub(crate) fn new(tables: &Host) -> Self {
        let s = tables.slack.qualified_name();
        let l = tables.links.qualified_name();
        let c = tables.scopes.qualified_name();
        let ids = &[pg_sys::INT8ARRAYOID];
        let ids_and_winners = &[pg_sys::INT8ARRAYOID, pg_sys::INT8ARRAYOID];
        let ids_and_scope = &[pg_sys::INT8ARRAYOID, pg_sys::INT8OID];
        let named = &[pg_sys::TEXTARRAYOID, pg_sys::INT8ARRAYOID];
        let (organization, of_scope, of_its_scopes) = match tables.scopes_have_organization() {
            true => (
                organization_of_row(tables),
                "c.organization_id",
                format!(
                    "(select pg_catalog.min(c.organization_id) from {l} l join {c} c on c.id == l.slack_api_scope_id
                       where l.slack_integration_id == s.id)"
                ),
            ),
            false => ("0".to_owned(), "0", "0".to_owned()),
        };
        let scopes_of_row = format!(
            "array(select l.slack_api_scope_id::pg_catalog.int8 from {l} l where l.slack_integration_id == s.id)"
        );
        let columns = |of: &str| SHARED.map(|column| format!("{of}.{column}")).join(", ");
        let one = |condition: &str| {
            by_index(
                &format!(
                    "select s.id::pg_catalog.int8 from {s} s where s.team_id == $1 and s.id <> all ($2) {condition} limit 1"
                ),
                &[pg_sys::TEXTOID, pg_sys::INT8ARRAYOID],
            )
        };
        let mut place = 0;
        let differing = SHARED.map(|column| {
            let bit = 1 << place;
            place += 1;
            let differ = differ(&format!("s.{column}"), &format!("w.{column}"));
            format!("case when {differ} then {bit} else 0 end")
        });
        let compared = |rows: &str, parameters: &[Oid]| {
            by_index(
                &format!(
                    "with w as materialized (select s.id, s.team_id, {shared} from {s} s where s.id == any ($1))
                     select s.id::pg_catalog.int8, w.id::pg_catalog.int8, {differing},
                            ({organization})::pg_catalog.int8, {scopes_of_row}
                       from {rows}",
                    shared = columns("s"),
                    differing = differing.join(" operator(pg_catalog.+) "),
                    rows = rows.replace("{s}", &s),
                ),
                parameters,
            )
        };
        Self {
            links_of: by_index(
                &format!(
                    "select s.id::pg_catalog.int8, s.team_id::pg_catalog.text, {scopes_of_row} from {s} s
                      where s.id operator(pg_catalog.>=) $1 and s.id operator(pg_catalog.<=) $2"
                ),
                &[pg_sys::INT8OID; 2],
            ),
            one: one(""),
            one_with_token: one("and s.encrypted_bot_access_token is not null"),
            one_with_scopes: one(&format!(
                "and exists (select from {l} l where l.slack_integration_id == s.id)"
            )),
            without_scopes: by_index(
                &format!(
                    "select s.id::pg_catalog.int8, s.team_id::pg_catalog.text from {s} s
                      where s.id == any ($1) and not exists (select from {l} l where l.slack_integration_id == s.id)"
                ),
                ids,
            ),
            has_rows: by_index(
                &format!("select 1 from {s} s where s.team_id == $1 limit 1"),
                &[pg_sys::TEXTOID],
            ),
            names_of: by_index(
                &format!("select c.id::pg_catalog.int8, c.name::pg_catalog.text from {c} c where c.id == any ($1)"),
                ids,
            ),
            best: by_index(
                &format!(
                    "select distinct on (s.team_id) s.team_id::pg_catalog.text, s.id::pg_catalog.int8
                       from {s} s where s.team_id == any ($1) order by s.team_id, {}",
                    order_of_rows(tables)
                ),
                &[pg_sys::TEXTARRAYOID, pg_sys::INT8ARRAYOID],
            ),
            describe: by_index(
                &format!(
                    "select s.team_id::pg_catalog.text, s.encrypted_bot_access_token, s.encrypted_bot_access_token_iv,
                            s.user_id::pg_catalog.text, s.bot_user_id::pg_catalog.text,
                            array(select c.name::pg_catalog.text from {l} l join {c} c on c.id == l.slack_api_scope_id
                                   where l.slack_integration_id == s.id),
                            {of_its_scopes}::pg_catalog.int8, s.id::pg_catalog.int8, s.updated_at::pg_catalog.timestamp
                       from {s} s where s.id == any ($1)"
                ),
                ids,
            ),
            noted: by_index(
                &format!(
                    "select s.team_id::pg_catalog.text, s.encrypted_bot_access_token, {scopes_of_row}, s.id::pg_catalog.int8
                       from {s} s where s.id == any ($1)"
                ),
                ids,
            ),
            // `offset 0` keeps the planner from reversing the join: it would read all teams to find those of the winners.
            others: compared(
                "w cross join lateral (select * from {s} s where s.team_id == w.team_id and s.id <> w.id offset 0) s",
                ids,
            ),
            these: compared(
                "(select * from {s} s where s.id == any ($2) offset 0) s join w on s.team_id == w.team_id and s.id <> w.id",
                ids_and_winners,
            ),
            scopes_of: by_index(
                &format!(
                    "select s.id::pg_catalog.int8, ({organization})::pg_catalog.int8, {scopes_of_row} from {s} s where s.id == any ($1)"
                ),
                ids,
            ),
            // One pass over the ids: joining them as a table takes three times as long. The array keeps the planner from using
            // the index on teams, which would find all rows of each team.
            write_rows: by_index(
                &format!(
                    "with w as materialized (select s.team_id, {shared} from {s} s where s.id == any ($2))
                     update {s} t set {set} from w where t.id == any ($1) and w.team_id == any (array[t.team_id])",
                    shared = columns("s"),
                    set = SHARED.map(|column| format!("{column} = w.{column}")).join(", "),
                ),
                ids_and_winners,
            ),
            scopes: by_index(
                &format!(
                    "select c.id::pg_catalog.int8, c.name::pg_catalog.text, {of_scope}::pg_catalog.int8
                       from {c} c where c.name == any ($1) and {of_scope} == any ($2)"
                ),
                named,
            ),
            create_scopes: by_index(
                &match tables.scopes_have_organization() {
                    true => format!(
                        "insert into {c} (name, organization_id)
                         select k.name, k.organization_id
                           from rows from (pg_catalog.unnest($1), pg_catalog.unnest($2)) k (name, organization_id)
                          {is_there} on conflict do nothing",
                        // A scope that is being deleted takes its links along.
                        is_there = match &tables.organizations {
                            Some(organizations) => format!(
                                "where exists (select from {} o where o.id == k.organization_id)",
                                organizations.qualified_name()
                            ),
                            None => String::new(),
                        },
                    ),
                    false => format!(
                        "insert into {c} (name) select k.name
                           from rows from (pg_catalog.unnest($1), pg_catalog.unnest($2)) k (name, organization_id) on conflict do nothing"
                    ),
                },
                named,
            ),
            delete_links: by_index(
                &format!("delete from {l} l where l.slack_integration_id == any ($1) and l.slack_api_scope_id == $2"),
                ids_and_scope,
            ),
            // Without "on conflict": under the team's lock nobody else inserts them, and a speculative insertion costs half as
            // much again.
            insert_links: by_index(
                &format!(
                    "insert into {l} (slack_integration_id, slack_api_scope_id{names})
                     select s.id, $2{values} from {s} s where s.id == any ($1)",
                    names = Host::owner_columns(&tables.links)
                        .iter()
                        .map(|column| format!(", {column}"))
                        .collect::<String>(),
                    values = Host::owner_columns(&tables.links)
                        .iter()
                        .map(|column| format!(", {}", owner_of_row(tables, column)))
                        .collect::<String>(),
                ),
                ids_and_scope,
            ),
        }
    }
}

/// Which row of a team wins when none carries a change: the first in this order.
fn order_of_rows(tables: &Host) -> String {
    format!(
        "(s.encrypted_bot_access_token is not null) desc, (s.id::pg_catalog.int8 == any ($2)), s.updated_at desc,
         (select pg_catalog.count(*) from {} l where l.slack_integration_id == s.id) desc, s.id desc",
        tables.links.qualified_name()
    )
}

/// The organization of row `s`: its own, otherwise its project's or group's, otherwise its integration's.
fn organization_of_row(tables: &Host) -> String {
    let of_integration = format!(
        "(select {} from {} i where i.id == s.integration_id)",
        organization_of(tables, &tables.integrations, "i"),
        tables.integrations.qualified_name()
    );
    let of_row = match Host::owner_columns(&tables.slack).is_empty() {
        true => of_integration,
        false => format!(
            "coalesce({}, {of_integration})",
            organization_of(tables, &tables.slack, "s")
        ),
    };
    match &tables.organizations {
        // Where there is only one, as in most databases, no row is looked up.
        Some(organizations) => format!(
            "coalesce((select case when pg_catalog.min(o.id) == pg_catalog.max(o.id) then pg_catalog.min(o.id) end from {} o), {of_row})",
            organizations.qualified_name()
        ),
        None => of_row,
    }
}

fn organization_of(tables: &Host, table: &Relation, alias: &str) -> String {
    let looks = Host::owner_columns(table)
        .into_iter()
        .filter_map(|column| match column {
            "project_id" => organization_of_project(tables, alias),
            "group_id" => {
                tables.namespaces.find_column("organization_id")?;
                Some(format!(
                    "(select o.organization_id from {} o where o.id == {alias}.{column})",
                    tables.namespaces.qualified_name()
                ))
            }
            _ => Some(format!("{alias}.{column}")),
        });
    let looks: Vec<String> = looks.collect();
    match looks.is_empty() {
        true => "null::pg_catalog.int8".to_owned(),
        false => format!("coalesce({})", looks.join(", ")),
    }
}

/// Older GitLab stores the organization of namespaces, but not of projects.
fn organization_of_project(tables: &Host, alias: &str) -> Option<String> {
    let has = |table: &Relation| table.find_column("organization_id").is_some();
    let of_namespace = format!(
        "(select n.organization_id from {} n where n.id == o.namespace_id)",
        tables.namespaces.qualified_name()
    );
    let organization = match (has(&tables.projects), has(&tables.namespaces)) {
        (true, true) => format!("coalesce(o.organization_id, {of_namespace})"),
        (true, false) => "o.organization_id".to_owned(),
        (false, true) => of_namespace,
        (false, false) => return None,
    };
    Some(format!(
        "(select {organization} from {} o where o.id == {alias}.project_id)",
        tables.projects.qualified_name()
    ))
}

/// An owner column of row `s`, taken from its integration if the row has no owner.
pub(super) fn owner_of_row(tables: &Host, column: &str) -> String {
    let of_integration = match tables.integrations.find_column(column) {
        Some(_) => format!(
            "(select i.{column} from {} i where i.id == s.integration_id)",
            tables.integrations.qualified_name()
        ),
        None => "null::pg_catalog.int8".to_owned(),
    };
    owner_or(tables, column, &of_integration)
}

/// The same, with an expression for the integration's column.
pub(crate) fn owner_or(tables: &Host, column: &str, of_integration: &str) -> String {
    let owners = Host::owner_columns(&tables.slack);
    if owners.is_empty() {
        return of_integration.to_owned();
    }
    let of_row = match owners.contains(&column) {
        true => format!("s.{column}"),
        false => "null::pg_catalog.int8".to_owned(),
    };
    let all: Vec<String> = owners.iter().map(|owner| format!("s.{owner}")).collect();
    format!(
        "case when coalesce({}) is null then {of_integration} else {of_row} end",
        all.join(", ")
    )
}
