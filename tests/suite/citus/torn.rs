//! What a node lacks is seen in the state, and attach repairs what it can; what cannot be kept is skipped with a reason.

use anyhow::{Result, ensure};

use super::{answers, refused, run_each, start};

/// Two tables outside a distributed schema whose shards lie together, with a cache column.
const TOGETHER: [&str; 7] = [
    "create table targets (id bigint primary key, has_some boolean)",
    "create table sources (id bigint primary key, target_id bigint, active boolean)",
    "create index on sources (target_id)",
    "do $$begin
       perform create_distributed_table('targets', null);
       perform create_distributed_table('sources', null, colocate_with => 'targets');
     end$$",
    "do $$begin perform lockstep.add_cache_column('targets', 'has_some', 'sources', 'target_id', '{\"active\": true}'); end$$",
    "insert into targets (id) values (1), (2)",
    "insert into sources values (1, 1, true)",
];

#[test]
fn the_state_tells_what_shards_lack_and_attach_brings_it_back() -> Result<()> {
    let Some(mut citus) = start("citus_torn", 1)? else {
        return Ok(());
    };
    citus.attach_tenant("tenant")?;
    citus.workers[0].batch_execute(
        "set citus.enable_manual_changes_to_shards = on; set citus.override_table_visibility = off;
         do $$
         declare found record;
         begin
           for found in select tgrelid::regclass as shard, tgname from pg_trigger where tgname ~ '^lockstep_(changed|flush)_[0-9]+$' loop
             execute format('drop trigger %I on %s', found.tgname, found.shard);
           end loop;
         end$$",
    )?;
    assert_eq!(citus.states()?, ["shards without triggers"; 2]);
    let repair = "do $$begin perform lockstep.repair_cache_column('tenant.projects', 'has_external_wiki'); end$$";
    let (_, message) = refused(&mut citus.coordinator, repair)?;
    ensure!(
        message.starts_with("shards of the cache column's tables lack triggers"),
        "{message}"
    );
    let add = "insert into tenant.integrations (project_id, type_new, active) values (1, 'Integrations::ExternalWiki', true)";
    citus.coordinator.batch_execute(add)?;
    ensure!(citus.check("tenant", "a write without triggers").is_err());
    let answers = answers(&mut citus.coordinator, "lockstep.attach('tenant')")?;
    ensure!(
        answers
            .iter()
            .any(|it| it.contains("shards without triggers; rows written meanwhile")),
        "{answers:?}"
    );
    assert_eq!(citus.states()?, ["active"; 2]);
    citus.coordinator.batch_execute(repair)?;
    assert_eq!(citus.check("tenant", "attach")?, 1);
    citus
        .coordinator
        .batch_execute("delete from tenant.integrations")?;
    assert_eq!(citus.check("tenant", "delete")?, 0);
    // The reports do not wait for who has locked the tables.
    let mut locking = citus.session(0)?;
    locking.batch_execute(
        "begin; lock table tenant.projects, tenant.integrations in access exclusive mode",
    )?;
    run_each(
        &mut citus.coordinator,
        &[
            "do $$begin perform lockstep.metrics_report('public'); end$$",
            "do $$begin perform lockstep.status_report('public'); end$$",
        ],
    )?;
    locking.batch_execute("rollback")?;
    // A node without the extension's functions cannot say what it has.
    citus.workers[0].batch_execute(
        "alter function lockstep_internal.triggers_on_shards(bigint[]) rename to gone",
    )?;
    let states = citus.states()?;
    ensure!(
        states.iter().all(|it| it.contains(
            "cannot be asked for its triggers: function lockstep_internal.triggers_on_shards"
        )),
        "{states:?}"
    );
    Ok(())
}

#[test]
fn what_citus_does_not_keep_together_is_refused() -> Result<()> {
    let Some(mut citus) = start("citus_refused", 1)? else {
        return Ok(());
    };
    citus.create_tenant("tenant")?;
    citus.create_tenant("other")?;
    run_each(
        &mut citus.coordinator,
        &[
            "create schema parts",
            "create table parts.targets (id bigint primary key, has_some boolean)",
            "create table parts.sources (id bigint primary key, target_id bigint, active boolean) partition by range (id)",
            "create table parts.sources_1 partition of parts.sources for values from (0) to (10)",
            "create index on parts.sources (target_id)",
            "do $$begin perform citus_schema_distribute('parts'); end$$",
        ],
    )?;
    let add = |target: &str, source: &str, key: &str, rest: &str| {
        format!(
            "select lockstep.add_cache_column('{target}', 'has_external_wiki', '{source}', '{key}', '{{\"active\": true}}'{rest})"
        )
    };
    let parts = "select lockstep.add_cache_column('parts.targets', 'has_some', 'parts.sources', 'target_id', '{\"active\": true}')";
    for (statement, refusal) in [
        (
            add("tenant.projects", "other.integrations", "project_id", ""),
            "table \"tenant.projects\" is distributed by Citus apart from the other table of the cache column",
        ),
        (
            add("public.projects", "other.integrations", "project_id", ""),
            "table \"other.integrations\" is distributed by Citus apart from the other table of the cache column",
        ),
        (
            add("tenant.projects", "public.integrations", "project_id", ""),
            "table \"tenant.projects\" is distributed by Citus apart from the other table of the cache column",
        ),
        (
            add(
                "tenant.projects",
                "tenant.integrations",
                "project_id",
                ", fire_always => true",
            ),
            "table \"tenant.projects\" is distributed by Citus, where fire_always is not possible",
        ),
        (
            parts.to_owned(),
            "partitioned table \"parts.targets\" is distributed by Citus",
        ),
    ] {
        let (_, message) = refused(&mut citus.coordinator, &statement)?;
        assert_eq!(message, refusal, "{statement}");
    }
    Ok(())
}

#[test]
fn a_schema_and_its_tables_can_be_renamed() -> Result<()> {
    let Some(mut citus) = start("citus_renamed", 1)? else {
        return Ok(());
    };
    citus.attach_tenant("tenant")?;
    // A session that knows the names of before.
    let mut writer = citus.session(0)?;
    writer.batch_execute("insert into tenant.integrations (project_id, type_new, active) values (1, 'Integrations::ExternalWiki', true)")?;
    run_each(
        &mut citus.coordinator,
        &[
            "alter table tenant.projects rename to things",
            "alter table tenant.integrations rename to kinds",
            "alter schema tenant rename to renamed",
        ],
    )?;
    writer.batch_execute("update renamed.kinds set project_id = 2")?;
    run_each(
        &mut citus.coordinator,
        &[
            "alter table renamed.things rename to projects",
            "alter table renamed.kinds rename to integrations",
        ],
    )?;
    assert_eq!(citus.check("renamed", "rename")?, 1);
    writer.batch_execute("truncate renamed.integrations cascade")?;
    assert_eq!(citus.check("renamed", "truncate")?, 0);
    assert_eq!(citus.states()?, ["active"; 2]);
    Ok(())
}

#[test]
fn a_schema_that_is_distributed_no_more_is_attached_again() -> Result<()> {
    let Some(mut citus) = start("citus_undistributed", 1)? else {
        return Ok(());
    };
    citus.attach_tenant("tenant")?;
    let client = &mut citus.coordinator;
    client.batch_execute("do $$begin perform citus_schema_undistribute('tenant'); end$$")?;
    assert_eq!(
        citus.states()?,
        ["another table has the name of the target"; 2]
    );
    // Nothing goes wrong unnoticed meanwhile.
    let add = "insert into tenant.integrations (project_id, type_new, active) values (1, 'Integrations::ExternalWiki', true)";
    for statement in [add, "truncate tenant.integrations cascade"] {
        let (_, message) = refused(&mut citus.coordinator, statement)?;
        ensure!(
            message.contains("is not one that lockstep installed on \"tenant.integrations\""),
            "{message}"
        );
    }
    let client = &mut citus.coordinator;
    client.batch_execute("do $$begin perform lockstep.attach('tenant'); end$$")?;
    client.batch_execute(add)?;
    assert_eq!(citus.states()?, ["active"; 2]);
    let client = &mut citus.coordinator;
    client.batch_execute("update tenant.projects set has_external_wiki = coalesce(has_external_wiki, false), has_external_issue_tracker = false")?;
    assert_eq!(citus.check("tenant", "undistribute")?, 1);
    Ok(())
}

#[test]
fn tables_that_are_kept_apart_later_refuse_writes() -> Result<()> {
    let Some(mut citus) = start("citus_apart", 2)? else {
        return Ok(());
    };
    let client = &mut citus.coordinator;
    run_each(client, &TOGETHER)?;
    let are_true = "select count(*) from targets where has_some";
    assert_eq!(client.query_one(are_true, &[])?.get::<_, i64>(0), 1);
    run_each(
        client,
        &[
            "do $$begin perform update_distributed_table_colocation('sources', 'none'); end$$",
            "do $$begin
               perform citus_move_shard_placement(s.shardid, s.nodename, s.nodeport, n.nodename, n.nodeport, 'block_writes')
                  from citus_shards s join pg_dist_node n on n.nodename <> s.nodename and n.shouldhaveshards
                 where s.table_name = 'sources'::regclass;
             end$$",
        ],
    )?;
    let apart = "table \"public.targets\" is distributed by Citus apart from the other table of the cache column";
    assert_eq!(citus.states()?, [apart]);
    let (_, message) = refused(
        &mut citus.coordinator,
        "insert into sources values (2, 2, true)",
    )?;
    assert_eq!(message, apart);
    Ok(())
}

#[test]
fn writes_fail_while_one_of_the_tables_has_a_new_shard() -> Result<()> {
    let Some(mut citus) = start("citus_new_shard", 1)? else {
        return Ok(());
    };
    run_each(&mut citus.coordinator, &TOGETHER)?;
    run_each(
        &mut citus.coordinator,
        &["do $$begin perform undistribute_table('sources'); end$$"],
    )?;
    for (write, refusal) in [
        (
            "insert into sources values (2, 2, true)",
            "is distributed by Citus apart from the other table of the cache column",
        ),
        (
            "update targets set has_some = false",
            "the other table of a cache column of",
        ),
    ] {
        let (_, message) = refused(&mut citus.coordinator, write)?;
        ensure!(message.contains(refusal), "{message}");
    }
    run_each(
        &mut citus.coordinator,
        &[
            "do $$begin perform lockstep.remove_cache_column('targets', 'has_some'); end$$",
            "update targets set has_some = false",
        ],
    )
}
