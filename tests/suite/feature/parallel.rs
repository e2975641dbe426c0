//! Functions that can be called in parallel mode.

use crate::database::cluster;
use crate::feature::flags;
use anyhow::{Result, ensure};

#[test]
fn what_may_run_beside_parallel_workers_does() -> Result<()> {
    let name = "feature_parallel";
    let mut client = flags(name)?;
    client.batch_execute(
        "create table big as select n from generate_series(1, 20000) n; analyze big;
         create function even(actor text) returns boolean language sql as $$ select actor ~ '[02468]$' $$;
         select lockstep.register_feature_group('even', 'even(text)');
         select lockstep.enable_feature_for('f', 'Project:1'); select lockstep.enable_feature_for_group('f', 'even')",
    )?;
    // Each has to be called below.
    let marked = "select array_agg(oid::regprocedure::text) from pg_proc where pronamespace::regnamespace::text ~ '^lockstep' and proparallel <> 'u'";
    let marked: Vec<String> = client.query_one(marked, &[])?.get(0);
    assert_eq!(
        marked,
        [
            "lockstep.feature_decision(text,text)",
            "lockstep.feature_enabled(text,text,text)",
            "lockstep.feature_enabled_for_any(text,text[],text)"
        ]
    );
    for level in ["read committed", "repeatable read", "serializable"] {
        for (query, expected) in [
            (
                "select (select count(*) from big), lockstep.feature_enabled('f', 'Project:1')",
                true,
            ),
            (
                "select count(*), lockstep.feature_enabled('f', 'Project:' || count(*)) from big",
                true,
            ),
            (
                "select count(*), lockstep.feature_enabled('f', 'Project:' || (count(*) + 1)) from big",
                false,
            ),
            (
                "select count(*), bool_or(lockstep.feature_enabled('f', 'Project:' || n)) from big where n < 2",
                true,
            ),
            (
                "select count(*), lockstep.feature_enabled('nobody set it', 'Project:' || count(*)) from big",
                false,
            ),
        ] {
            // A new backend has to read everything.
            let mut cold = cluster()?.connect(name)?;
            cold.batch_execute(&format!(
                "set parallel_setup_cost = 0; set parallel_tuple_cost = 0; set min_parallel_table_scan_size = 0;
                 begin isolation level {level}"
            ))?;
            let plan = cold.query(&format!("explain (costs off) {query}"), &[])?;
            let is_parallel = plan
                .iter()
                .any(|row| row.get::<_, &str>(0).contains("Gather"));
            ensure!(is_parallel, "{query} has no parallel plan");
            let row = cold.query_one(query, &[])?;
            assert_eq!(row.get::<_, bool>(1), expected, "{level}: {query}");
            cold.batch_execute("rollback")?;
            // A command that writes what the workers find.
            let mut cold = cluster()?.connect(name)?;
            cold.batch_execute(&format!(
                "set parallel_setup_cost = 0; set parallel_tuple_cost = 0; set min_parallel_table_scan_size = 0;
                 begin isolation level {level}; create table found as {}; rollback",
                query.replace("count(*),", "count(*) as n,").replace("big),", "big) as n,")
            ))?;
        }
    }
    Ok(())
}
