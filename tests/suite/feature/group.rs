//! Who may change the registration of a group, and what is left of it when roles and functions change.

use crate::feature::{flags, is_on};
use crate::surface::refusal::refused;
use anyhow::Result;
use postgres::Client;

/// An administrator who has registered a group, and another one.
fn registered(name: &str) -> Result<Client> {
    let mut client = flags(name)?;
    client.batch_execute(&format!(
        "create role {name}_ren in role lockstep_admin; create role {name}_other in role lockstep_admin;
         grant create, usage on schema public to {name}_ren, {name}_other; set role {name}_ren;
         create function everybody(actor text) returns boolean language sql as 'select true';
         select lockstep.register_feature_group('g', 'everybody(text)');
         reset role; select lockstep.enable_feature_for_group('f', 'g')"
    ))?;
    assert!(is_on(&mut client, "f", Some("User:1"))?);
    Ok(client)
}

fn state(client: &mut Client) -> Result<String> {
    let state = "select state from lockstep.feature_group_status where name = 'g'";
    Ok(client.query_one(state, &[])?.get(0))
}

const REMOVE: &str = "select lockstep.unregister_feature_group('g')";
const AGAIN: &str = "select lockstep.register_feature_group('g', 'everybody(text)')";

#[test]
fn a_group_that_works_is_changed_by_the_owner_of_its_function() -> Result<()> {
    let name = "feature_group_owner";
    let mut client = registered(name)?;
    assert_eq!(state(&mut client)?, "active");
    client.batch_execute(&format!(
        "set role {name}_other; create function nobody(actor text) returns boolean language sql as 'select false'"
    ))?;
    let replace = "select lockstep.register_feature_group('g', 'nobody(text)')";
    for call in [REMOVE, replace] {
        refused(&mut client, call, "42501", "another role")?;
    }
    client.batch_execute(&format!(
        "reset role; set role {name}_ren; {AGAIN}; {REMOVE}"
    ))?;
    Ok(())
}

#[test]
fn whoever_gets_the_name_of_a_renamed_role_gets_nothing_with_it() -> Result<()> {
    let name = "feature_group_renamed";
    let mut client = registered(name)?;
    client.batch_execute(&format!("alter role {name}_ren rename to {name}_ren2"))?;
    assert!(!is_on(&mut client, "f", Some("User:1"))?);
    assert_eq!(state(&mut client)?, "role that registered it missing");
    client.batch_execute(&format!(
        "create role {name}_ren in role lockstep_admin; set role {name}_ren"
    ))?;
    assert!(!is_on(&mut client, "f", Some("User:1"))?);
    assert_eq!(
        state(&mut client)?,
        "role that registered it lacks the rights of the function's owner"
    );
    refused(&mut client, AGAIN, "42501", "must belong to you")?;
    // The owner of the function goes on.
    client.batch_execute(&format!("reset role; set role {name}_ren2; {AGAIN}"))?;
    assert_eq!(state(&mut client)?, "active");
    assert!(is_on(&mut client, "f", Some("User:1"))?);
    client.batch_execute(&format!("reset role; set role {name}_ren"))?;
    refused(&mut client, REMOVE, "42501", "another role")?;
    Ok(())
}

#[test]
fn a_group_that_does_not_work_is_any_administrators() -> Result<()> {
    for (name, change, said) in [
        (
            "feature_group_reassigned",
            "reassign owned by {ren} to {other}; drop owned by {ren}; drop role {ren}",
            "role that registered it missing",
        ),
        (
            "feature_group_given",
            "alter function everybody(text) owner to postgres",
            "role that registered it lacks the rights of the function's owner",
        ),
        (
            "feature_group_dropped",
            "drop function everybody(text)",
            "function missing",
        ),
    ] {
        let mut client = registered(name)?;
        let [ren, other] = ["ren", "other"].map(|role| format!("{name}_{role}"));
        let change = change.replace("{ren}", &ren).replace("{other}", &other);
        client.batch_execute(&change)?;
        assert_eq!(state(&mut client)?, said, "{name}");
        assert!(!is_on(&mut client, "f", Some("User:1"))?, "{name}");
        client.batch_execute(&format!(
            "set role {other}; create function theirs(actor text) returns boolean language sql as 'select true';
             select lockstep.register_feature_group('g', 'theirs(text)')"
        ))?;
        assert!(is_on(&mut client, "f", Some("User:1"))?, "{name}");
        client.batch_execute(REMOVE)?;
    }
    Ok(())
}

/// Whoever turns a flag off for an actor hears of a group that keeps it on, as of a percentage.
#[test]
fn an_actor_may_stay_on_by_a_group() -> Result<()> {
    let mut client = registered("feature_group_stays")?;
    client.batch_execute(
        "create function broken(actor text) returns boolean language sql as 'select 1 / (length(actor) - length(actor)) = 1';
         select lockstep.register_feature_group('broken', 'broken(text)');
         select lockstep.enable_feature_for_group('b', 'broken')",
    )?;
    let mut off = |name: &str, groups: &str| -> Result<Vec<String>> {
        let set = "select lockstep_internal.set_feature_on_behalf('postgres'::regrole, 'ada', 'chatops', $1, $2::text::jsonb)";
        let wish = |enabled: bool, groups: &str| {
            format!(r#"{{"enabled": {enabled}, "actors": ["User:2"], "groups": {groups}}}"#)
        };
        client.query_one(set, &[&name, &wish(true, "[]")])?;
        let row = client.query_one(set, &[&name, &wish(false, groups)])?;
        Ok(row.get(0))
    };
    assert_eq!(off("f", "[]")?, ["User:2"]);
    // One that is turned off with the actor keeps nothing on.
    assert!(off("f", r#"["g"]"#)?.is_empty());
    // One that cannot be asked keeps nobody from turning a flag off.
    assert!(off("b", "[]")?.is_empty());
    Ok(())
}
