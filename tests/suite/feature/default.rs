//! Flags that are on by default, and are changed for some.

use anyhow::{Result, ensure};

use super::{flags, is_on};
use crate::service_account::number;
use crate::surface::refusal::error_of;

#[test]
fn a_flag_that_is_on_by_default_stays_on_for_the_others() -> Result<()> {
    let mut client = flags("feature_default")?;
    let (seven, one) = (Some("User:7"), Some("User:1"));
    for (name, change, of_seven) in [
        (
            "out",
            "select lockstep.opt_out_of_feature('out', 'User:7')",
            false,
        ),
        (
            "one",
            "select lockstep.enable_feature_for('one', 'User:7')",
            true,
        ),
        (
            "behalf",
            "select lockstep_internal.set_feature_on_behalf(10::oid, 'ada', 'slack', 'behalf', '{\"opt_out\": true, \"actors\": [\"User:7\"]}', 'public')",
            false,
        ),
    ] {
        client.batch_execute(&format!(
            "select lockstep.define_feature('{name}', default_enabled => true, type => 'beta')"
        ))?;
        ensure!(is_on(&mut client, name, one)?, "{name}");
        client.batch_execute(change)?;
        ensure!(is_on(&mut client, name, one)?, "{name}");
        ensure!(is_on(&mut client, name, None)?, "{name}");
        assert_eq!(is_on(&mut client, name, seven)?, of_seven, "{name}");
    }
    client.batch_execute(
        "select lockstep.define_feature('refused', default_enabled => true, type => 'beta')",
    )?;
    for change in [
        "set_feature_percentage('refused', 25)",
        "disable_feature_for('refused', 'User:7')",
    ] {
        let error = error_of(&mut client, &format!("select lockstep.{change}"))?;
        assert_eq!(error.code().code(), "55000", "{change}");
        ensure!(is_on(&mut client, "refused", one)?, "{change}");
    }
    // For everybody it is one change.
    client.batch_execute("select lockstep.set_feature('refused', false)")?;
    ensure!(!is_on(&mut client, "refused", one)?);
    let audited = "select count(*) from lockstep.feature_audit where feature = 'refused' and gate is not null";
    assert_eq!(number(&mut client, audited)?, 0);
    Ok(())
}

/// Flipper stores what Ruby writes.
#[test]
fn a_small_percentage_is_read_as_ruby_reads_it() -> Result<()> {
    let mut client = flags("feature_small")?;
    client.batch_execute(
        "insert into features (key, created_at, updated_at) values ('small', now(), now());
         insert into feature_gates (feature_key, key, value, created_at, updated_at) values ('small', 'percentage_of_actors', '1.0e-05', now(), now())",
    )?;
    let on = "select count(*) from generate_series(1, 20000) n where lockstep.feature_enabled('small', 'User:' || n)";
    assert_eq!(number(&mut client, on)?, 0);
    Ok(())
}
