//! The statements that look at the rows of teams and bring them in lockstep, each for any number of teams.

use super::host_text::{differ, qualified};
use super::tables::Tables;
use crate::host::Relation;
use crate::statement::Statement;
use pgrx::pg_sys::{self, Oid};
use std::rc::Rc;

/// The columns that belong to the workspace, not to one integration.
pub(super) const SHARED: [&str; 5] = [
    "user_id",
    "bot_user_id",
    "encrypted_bot_access_token",
    "encrypted_bot_access_token_iv",
    "updated_at",
];

pub(super) struct Statements {
    /// `$1` ids: id, team.
    pub(super) teams_of: Statement,
    /// `$1` team: whether it has rows.
    pub(super) has_rows: Statement,
    /// `$1` scopes: those there are.
    pub(super) scopes_left: Statement,
    /// `$1` teams: the best row of each, as team and id.
    pub(super) best: Statement,
    /// `$1` ids: team, token, its iv, user, bot user, scopes.
    pub(super) describe: Statement,
    /// `$1` ids of winners: writes the other rows of their teams.
    pub(super) write_rows: Statement,
    /// `$1` ids of winners: the scopes of the other rows.
    pub(super) links: Links,
    /// `$1` id of one row, `$2` names: the scopes of that row.
    pub(super) links_of_one: Links,
}

/// Brings the links of rows in lockstep with the scopes that they are to have.
pub(super) struct Links {
    pub(super) create_scopes: Statement,
    pub(super) delete: Statement,
    pub(super) insert: Statement,
}

impl Default for Statements {
    fn default() -> Self {
        let none = || Statement::new("", &[]);
        let links = || Links {
            create_scopes: none(),
            delete: none(),
            insert: none(),
        };
        Self {
            teams_of: none(),
            has_rows: none(),
            scopes_left: none(),
            best: none(),
            describe: none(),
            write_rows: none(),
            links: links(),
            links_of_one: links(),
        }
    }
}

/// A query by index: a team may have one row or ten thousand, and the plan is kept for both.
pub(super) fn by_index(text: &str, parameters: &[Oid]) -> Statement {
    let columns: [&str; 6] = [
        "id",
        "team_id",
        "slack_integration_id",
        "organization_id",
        "name",
        "integration_id",
    ];
    let columns: Rc<[String]> = columns.iter().map(ToString::to_string).collect();
    Statement::by_index(&qualified(text), parameters, &columns)
}

impl Statements {
    pub(super) fn new(tables: &Tables) -> Self {
        let s = tables.slack.qualified_name();
        let l = tables.links.qualified_name();
        let c = tables.scopes.qualified_name();
        let ids = &[pg_sys::INT8ARRAYOID];
        let columns = |of: &str| SHARED.map(|column| format!("{of}.{column}")).join(", ");
        let differs = SHARED
            .map(|column| differ(&format!("s.{column}"), &format!("w.{column}")))
            .join(" or ");
        let set = SHARED
            .map(|column| format!("{column} = it.{column}"))
            .join(", ");
        Self {
            teams_of: by_index(
                &format!("select s.id::pg_catalog.int8, s.team_id::pg_catalog.text from {s} s where s.id == any ($1)"),
                ids,
            ),
            has_rows: by_index(
                &format!("select 1 from {s} s where s.team_id == $1 limit 1"),
                &[pg_sys::TEXTOID],
            ),
            scopes_left: by_index(
                &format!("select c.id::pg_catalog.int8 from {c} c where c.id == any ($1)"),
                ids,
            ),
            best: by_index(
                &format!(
                    "select distinct on (s.team_id) s.team_id::pg_catalog.text, s.id::pg_catalog.int8
                       from {s} s where s.team_id == any ($1) order by s.team_id, {}",
                    order_of_rows(tables)
                ),
                &[pg_sys::TEXTARRAYOID],
            ),
            describe: by_index(
                &format!(
                    "select s.team_id::pg_catalog.text, s.encrypted_bot_access_token, s.encrypted_bot_access_token_iv,
                            s.user_id::pg_catalog.text, s.bot_user_id::pg_catalog.text,
                            array(select c.name::pg_catalog.text from {l} l join {c} c on c.id == l.slack_api_scope_id
                                   where l.slack_integration_id == s.id order by c.name::pg_catalog.text collate \"C\")
                       from {s} s where s.id == any ($1)"
                ),
                ids,
            ),
            write_rows: by_index(
                &format!(
                    "with w as materialized (select s.id, s.team_id, {shared} from {s} s where s.id == any ($1)),
                     it as materialized (
                       select s.id, s.team_id, {of_winner} from w join {s} s on s.team_id == w.team_id
                        where s.id <> w.id and ({differs}) order by s.id)
                     update {s} t set {set} from it where t.id == it.id and t.team_id == it.team_id",
                    shared = columns("s"),
                    of_winner = columns("w"),
                ),
                ids,
            ),
            links: Links::new(
                tables,
                ids,
                &format!(
                    "w as materialized (
                       select s.id, s.team_id, {of_its_scopes}
                              array(select c.name from {l} l join {c} c on c.id == l.slack_api_scope_id
                                     where l.slack_integration_id == s.id) as names
                         from {s} s where s.id == any ($1)),
                     r as materialized (
                       select s.id, w.names{organization} from w join {s} s on s.team_id == w.team_id where s.id <> w.id)",
                    of_its_scopes = match tables.scopes_have_organization() {
                        true => format!(
                            "(select pg_catalog.min(c.organization_id) from {l} l join {c} c on c.id == l.slack_api_scope_id
                               where l.slack_integration_id == s.id) as organization_id,"
                        ),
                        false => String::new(),
                    },
                    organization = match tables.scopes_have_organization() {
                        true => format!(
                            ", coalesce({}, w.organization_id) as organization_id",
                            organization_of_row(tables)
                        ),
                        false => String::new(),
                    },
                ),
            ),
            links_of_one: Links::new(
                tables,
                &[pg_sys::INT8OID, pg_sys::TEXTARRAYOID],
                &format!(
                    "r as materialized (select s.id, $2 as names{} from {s} s where s.id == $1)",
                    match tables.scopes_have_organization() {
                        true => format!(", {} as organization_id", organization_of_row(tables)),
                        false => String::new(),
                    },
                ),
            ),
        }
    }
}

impl Links {
    /// `rows` is a query r of ids, names and, where scopes have one, the organization.
    fn new(tables: &Tables, parameters: &[Oid], rows: &str) -> Self {
        let s = tables.slack.qualified_name();
        let l = tables.links.qualified_name();
        let c = tables.scopes.qualified_name();
        let (column, of_need, same, is_known) = match tables.scopes_have_organization() {
            true => (
                ", organization_id",
                ", n.organization_id",
                "and c.organization_id == r.organization_id",
                "n.organization_id is not null and",
            ),
            false => ("", "", "", ""),
        };
        let same_as_needed = same.replace("r.", "n.");
        let owners = Tables::owner_columns(&tables.links);
        let owner_values: String = owners
            .iter()
            .map(|column| format!(", {}", owner_of_row(tables, column)))
            .collect();
        let owner_columns: String = owners.iter().map(|column| format!(", {column}")).collect();
        Self {
            create_scopes: by_index(
                &format!(
                    "with {rows},
                     k as materialized (select distinct r.names{of_rows} from r),
                     n as materialized (select distinct x.name{of_keys} from k cross join lateral pg_catalog.unnest(k.names) x (name))
                     insert into {c} (name{column}) select n.name{of_need} from n
                      where {is_known} not exists (select from {c} c where c.name == n.name {same_as_needed})
                      order by n.name{of_need} on conflict do nothing",
                    of_rows = column.replace(", ", ", r."),
                    of_keys = column.replace(", ", ", k."),
                ),
                parameters,
            ),
            delete: by_index(
                &format!(
                    "with {rows}
                     delete from {l} l using r where l.slack_integration_id == r.id
                        and not exists (select from {c} c where c.id == l.slack_api_scope_id and c.name == any (r.names) {same})"
                ),
                parameters,
            ),
            insert: by_index(
                &format!(
                    "with {rows}
                     insert into {l} (slack_integration_id, slack_api_scope_id{owner_columns})
                     select s.id, c.id{owner_values}
                       from r cross join lateral pg_catalog.unnest(r.names) x (name)
                       join {c} c on c.name == x.name {same}
                       join {s} s on s.id == r.id
                      where not exists (select from {l} l where l.slack_integration_id == r.id and l.slack_api_scope_id == c.id)
                      order by s.id, c.id on conflict do nothing"
                ),
                parameters,
            ),
        }
    }
}

/// Which row of a team wins where none carries: the first in this order.
pub(super) fn order_of_rows(tables: &Tables) -> String {
    format!(
        "(s.encrypted_bot_access_token is not null) desc, s.updated_at desc,
         (select pg_catalog.count(*) from {} l where l.slack_integration_id == s.id) desc, s.id desc",
        tables.links.qualified_name()
    )
}

/// The organization of row `s`: its own, else that of its project or group, else that of its integration.
pub(super) fn organization_of_row(tables: &Tables) -> String {
    let of_integration = format!(
        "(select {} from {} i where i.id == s.integration_id)",
        organization_of(tables, &tables.integrations, "i"),
        tables.integrations.qualified_name()
    );
    match Tables::owner_columns(&tables.slack).is_empty() {
        true => of_integration,
        false => format!(
            "coalesce({}, {of_integration})",
            organization_of(tables, &tables.slack, "s")
        ),
    }
}

fn organization_of(tables: &Tables, table: &Relation, alias: &str) -> String {
    let looks = Tables::owner_columns(table)
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

/// Older hosts know the organization of a namespace, but not that of a project.
fn organization_of_project(tables: &Tables, alias: &str) -> Option<String> {
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

/// An owner column of row `s`; from its integration, if the row names no owner.
pub(super) fn owner_of_row(tables: &Tables, column: &str) -> String {
    let of_integration = match tables.integrations.find_column(column) {
        Some(_) => format!(
            "(select i.{column} from {} i where i.id == s.integration_id)",
            tables.integrations.qualified_name()
        ),
        None => "null::pg_catalog.int8".to_owned(),
    };
    let owners = Tables::owner_columns(&tables.slack);
    if owners.is_empty() {
        return of_integration;
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
