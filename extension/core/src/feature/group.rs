//! Groups of actors. The application registers a block of code for each; here it is a function.

use crate::error::{FeatureError, OrRaise, Result, required};
use lockstep_server::kept;
use lockstep_server::{
    OwnStatement, Rights, Statement, View, as_role, connected, current_user, datum,
    with_catalog_path,
};
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;

/// A function that can decide who is in a group.
const FITS: &str = "p.pronargs = 1 and p.proargtypes[0] = 'text'::regtype
  and p.prorettype = 'boolean'::regtype and not p.proretset and p.prokind = 'f'";

/// Nobody lends the rights of others: the role that registered the function must still have those of its owner. A renamed role does
/// not, nor does another one that got its name. lockstep.feature_group_status says so.
const LENDS: &str = "array[n.nspname, p.proname]::text[] = parse_ident(g.function)
  and pg_has_role(to_regrole(g.owner)::oid, p.proowner, 'usage')";

struct Statements {
    find: OwnStatement,
    register: OwnStatement,
    unregister: OwnStatement,
}

kept! {
    static STATEMENTS: Statements = Statements {
        find: OwnStatement::by_index(
            // Not with to_regprocedure, which needs rights on the schema that we do not have.
            &format!(
                "select format('%I.%I', n.nspname, p.proname), p.proowner
                   from lockstep.feature_group g cross join lateral parse_ident(g.function) i (names)
                   join pg_proc p on p.proname = i.names[2] and {FITS}
                   join pg_namespace n on n.oid = p.pronamespace and n.nspname = i.names[1]
                  where g.name = $1 and {LENDS}"
            ),
            &[pg_sys::TEXTOID],
            &["name", "proname", "oid"],
        ),
        register: OwnStatement::new(
            &format!(
                "insert into lockstep.feature_group as g (name, function, owner)
                 select $1, format('%I.%I', n.nspname, p.proname), $3::regrole::text
                   from pg_proc p join pg_namespace n on n.oid = p.pronamespace where p.oid = $2
                 on conflict (name) do update set function = excluded.function, owner = excluded.owner where {}",
                may_change("$3")
            ),
            &[pg_sys::TEXTOID, pg_sys::OIDOID, pg_sys::OIDOID],
        ),
        unregister: OwnStatement::new(
            &format!(
                "delete from lockstep.feature_group g where g.name = $1 and {}",
                may_change("$2")
            ),
            &[pg_sys::TEXTOID, pg_sys::OIDOID],
        ),
    };
}

/// A group that can be asked is changed with the rights of its function's owner, who may change the function anyway; one that cannot
/// is anybody's who may register groups. The name of the role that registered it counts for nothing: a new role may have got it.
fn may_change(role: &str) -> String {
    format!(
        "not exists (select from pg_proc p join pg_namespace n on n.oid = p.pronamespace
           where {FITS} and {LENDS} and not pg_has_role({role}, p.proowner, 'usage'))"
    )
}

/// Whether an actor is in a group; an unregistered group is empty. The function runs only with the rights of its owner, who may
/// change it at any time; the role that registered it must still have these rights: nobody lends the rights of others.
pub(super) fn contains(group: &str, actor: &str) -> Result<bool> {
    let mut found: Option<(String, Oid)> = None;
    STATEMENTS.with(|statements| {
        statements
            .find
            .rows_seeing(View::Caller, &[datum(group)], |row| {
                found = row.get(1).zip(row.get(2));
            })
    })?;
    let Some((function, owner)) = found else {
        return Ok(false);
    };
    let ask = Statement::new(
        &format!("select {function}($1::pg_catalog.text)"),
        &[pg_sys::TEXTOID],
    );
    let mut answer = None;
    as_role(&Rights::of(owner, &function), || {
        connected(|| {
            ask.rows(View::Caller, &[datum(actor)], |row| {
                answer = row.get::<bool>(1)
            })
        })
    });
    Ok(answer.unwrap_or_default())
}

/// Whether a group is registered.
pub(super) fn is_registered(group: &str) -> Result<bool> {
    let mut is_there = false;
    STATEMENTS.with(|statements| {
        statements
            .find
            .rows_seeing(View::Newest, &[datum(group)], |_| is_there = true)
    })?;
    Ok(is_there)
}

/// Registers a group with the function that decides who is in it.
#[pg_extern(sql = r#"
create function lockstep.register_feature_group(name text, function regprocedure)
returns void language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.register_feature_group(text, regprocedure) is
  'lets a function of an actor decide who is in a group that feature flags can be enabled for; it runs with the rights of its owner';
revoke execute on function lockstep.register_feature_group(text, regprocedure) from public;
grant execute on function lockstep.register_feature_group(text, regprocedure) to lockstep_admin;
"#)]
fn register_feature_group(name: Option<&str>, function: Option<Oid>) {
    let name = required(name, "name");
    let function = required(function, "function");
    register(name, function).or_raise();
}

fn register(name: &str, function: Oid) -> Result<()> {
    super::check_name(name)?;
    let query = Statement::new(
        &format!(
            "select pg_has_role(p.proowner, 'usage')::text from pg_proc p where p.oid = $1 and {FITS}"
        ),
        &[pg_sys::OIDOID],
    );
    match with_catalog_path(|| connected(|| query.text(&[datum(function)]))).as_deref() {
        Some("true") => {}
        Some(_) => return Err(FeatureError::GroupRights.into()),
        None => return Err(FeatureError::GroupFunction.into()),
    }
    let arguments = [datum(name), datum(function), datum(current_user())];
    match STATEMENTS.with(|statements| statements.register.run(&arguments))? {
        0 => Err(FeatureError::NotGroupOwner {
            name: name.to_owned(),
        }
        .into()),
        _ => Ok(()),
    }
}

/// Removes a group's registration.
#[pg_extern(sql = r#"
create function lockstep.unregister_feature_group(name text)
returns void language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.unregister_feature_group(text) is 'removes the registration of a group, which is then empty';
revoke execute on function lockstep.unregister_feature_group(text) from public;
grant execute on function lockstep.unregister_feature_group(text) to lockstep_admin;
"#)]
fn unregister_feature_group(name: Option<&str>) {
    let name = required(name, "name");
    let arguments = [datum(name), datum(current_user())];
    let removed = STATEMENTS.with(|statements| statements.unregister.run(&arguments));
    if removed.or_raise() == 0 {
        crate::error::Error::from(FeatureError::NotGroupOwner {
            name: name.to_owned(),
        })
        .raise();
    }
}
