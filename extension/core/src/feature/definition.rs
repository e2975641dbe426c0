//! What is declared about flags besides their rows: the type, and the default of flags that have no row.

use crate::error::{FeatureError, OrRaise, Result, required};
use lockstep_server::kept;
use lockstep_server::{OwnStatement, View, datum};
use pgrx::pg_sys;
use pgrx::prelude::*;

/// Types, and whether a flag of that type may be on by default.
const TYPES: [(&str, bool); 7] = [
    ("gitlab_com_derisk", false),
    ("wip", false),
    ("beta", true),
    ("ops", true),
    ("experiment", false),
    ("worker", true),
    ("development", true),
];

struct Statements {
    default: OwnStatement,
    all: OwnStatement,
    define: OwnStatement,
    undefine: OwnStatement,
}

kept! {
    static STATEMENTS: Statements = Statements {
        default: OwnStatement::by_index(
            "select d.default_enabled from lockstep.feature_definition d where d.name = $1",
            &[pg_sys::TEXTOID],
            &["name"],
        ),
        all: OwnStatement::new(
            "select d.name, d.type, d.default_enabled, d.\"group\" from lockstep.feature_definition d order by d.name collate \"C\"",
            &[],
        ),
        define: OwnStatement::new(
            "insert into lockstep.feature_definition (name, default_enabled, type, \"group\") values ($1, $2, $3, nullif($4, ''))
             on conflict (name) do update
               set default_enabled = excluded.default_enabled, type = excluded.type, \"group\" = excluded.\"group\"
               where not feature_definition.is_built_in",
            &[
                pg_sys::TEXTOID,
                pg_sys::BOOLOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
            ],
        ),
        undefine: OwnStatement::new(
            "delete from lockstep.feature_definition where name = $1 and not is_built_in",
            &[pg_sys::TEXTOID],
        ),
    };
}

pub(super) struct Definition {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) default_enabled: bool,
    /// The group that owns it, such as `group::integrations`.
    pub(super) group: Option<String>,
}

/// The default of a flag without a row, if it is defined.
pub(super) fn default_of(name: &str, view: View) -> Result<Option<bool>> {
    let mut default = None;
    STATEMENTS.with(|statements| {
        statements.default.rows_seeing(view, &[datum(name)], |row| {
            default = row.get(1);
        })
    })?;
    Ok(default)
}

pub(super) fn all() -> Result<Vec<Definition>> {
    let mut definitions = Vec::new();
    STATEMENTS.with(|statements| {
        statements.all.rows_seeing(View::Caller, &[], |row| {
            definitions.push(Definition {
                name: row.get(1).unwrap_or_default(),
                kind: row.get(2).unwrap_or_default(),
                default_enabled: row.get(3).unwrap_or_default(),
                group: row.get(4),
            });
        })
    })?;
    Ok(definitions)
}

/// Defines a flag, or changes its definition.
#[pg_extern(sql = r#"
create function lockstep.define_feature(name text, default_enabled boolean default false, type text default 'gitlab_com_derisk',
                                        "group" text default null)
returns void language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.define_feature(text, boolean, text, text) is
  'defines a feature flag: its default while it is not set, its type, and the group that owns it';
revoke execute on function lockstep.define_feature(text, boolean, text, text) from public;
grant execute on function lockstep.define_feature(text, boolean, text, text) to lockstep_admin;
"#)]
fn define_feature(
    name: Option<&str>,
    default_enabled: Option<bool>,
    kind: Option<&str>,
    group: Option<&str>,
) {
    let name = required(name, "name");
    let default_enabled = required(default_enabled, "default_enabled");
    let kind = required(kind, "type");
    define(name, default_enabled, kind, group.unwrap_or_default()).or_raise();
}

fn define(name: &str, default_enabled: bool, kind: &str, group: &str) -> Result<()> {
    super::check_new_name(name)?;
    match TYPES.iter().find(|(name, _)| *name == kind) {
        None => {
            return Err(FeatureError::Type {
                kind: kind.to_owned(),
                known: TYPES.map(|(name, _)| name).join(", "),
            }
            .into());
        }
        Some((_, false)) if default_enabled => {
            return Err(FeatureError::DefaultOn {
                name: name.to_owned(),
                kind: kind.to_owned(),
            }
            .into());
        }
        Some(_) => {}
    }
    let arguments = [
        datum(name),
        datum(default_enabled),
        datum(kind),
        datum(group),
    ];
    match STATEMENTS.with(|statements| statements.define.run(&arguments))? {
        0 => Err(FeatureError::BuiltIn {
            name: name.to_owned(),
        }
        .into()),
        _ => Ok(()),
    }
}

/// Removes a flag's definition.
#[pg_extern(sql = r#"
create function lockstep.undefine_feature(name text)
returns void language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.undefine_feature(text) is 'forgets what was declared of a feature flag; its rows stay';
revoke execute on function lockstep.undefine_feature(text) from public;
grant execute on function lockstep.undefine_feature(text) to lockstep_admin;
"#)]
fn undefine_feature(name: Option<&str>) {
    let name = required(name, "name");
    let removed = STATEMENTS.with(|statements| statements.undefine.run(&[datum(name)]));
    if removed.or_raise() == 0 {
        crate::error::Error::from(FeatureError::NotDefined {
            name: name.to_owned(),
        })
        .raise();
    }
}
