//! The engine compared with GitLab's statement in databases of other shapes: a way to resolve workflows that is good in one may read
//! too much in another. The worst counts.

use anyhow::Result;
use lockstep_tests::host::{self, Layout};

use super::NAME;
use super::contender::{Contender, Cut, measure};
use crate::Report;
use crate::figure::{Figure, Reach};
use crate::median::median;
use crate::selection::Selection;
use crate::server::Server;
use crate::size::Size;
use crate::workflows::TEMPLATE;

/// What a database differs by.
struct Shape {
    name: &'static str,
    /// Root groups, and the consumers of each.
    groups: i64,
    consumers: i64,
    /// Items of the catalog, of which eleven are found by definition, the others by version.
    items: i64,
    /// Of a hundred workflows, how many have an account.
    resolved: i64,
    /// The length of a workflow's goal, which makes its row wide.
    goal: i64,
}

const TYPICAL: Shape = Shape {
    name: "typical",
    groups: 1_000,
    consumers: 8,
    items: 500,
    resolved: 50,
    goal: 100,
};

const SHAPES: [Shape; 9] = [
    TYPICAL,
    Shape {
        name: "few_groups",
        groups: 50,
        ..TYPICAL
    },
    Shape {
        name: "many_groups",
        groups: 5_000,
        consumers: 2,
        ..TYPICAL
    },
    Shape {
        name: "many_consumers",
        groups: 5_000,
        consumers: 18,
        ..TYPICAL
    },
    Shape {
        name: "small_catalog",
        items: 20,
        ..TYPICAL
    },
    Shape {
        name: "large_catalog",
        items: 20_000,
        ..TYPICAL
    },
    Shape {
        name: "few_resolved",
        resolved: 10,
        ..TYPICAL
    },
    Shape {
        name: "most_resolved",
        resolved: 90,
        ..TYPICAL
    },
    Shape {
        name: "long_goals",
        goal: 10_000,
        ..TYPICAL
    },
];

/// Two thirds of the workflows belong to a project, the others to a namespace. A workflow that can be resolved has status 1, and its
/// user is the account, as in [`crate::workflows`].
const FILL: &str = "
select setseed(0.5);
insert into users (id, organization_id) select n, 1 from generate_series(2, GROUPS * CONSUMERS + 1) n;
delete from namespaces;
insert into namespaces (id, name, path, type, traversal_ids, organization_id)
  select n, 'n', 'n', 'Group', case when n <= GROUPS then array[n] else array[1 + n % GROUPS, n] end, 1 from generate_series(1, 4 * GROUPS) n;
insert into projects (id, namespace_id, project_namespace_id, organization_id)
  select n, 1 + n % (4 * GROUPS), n, 1 from generate_series(1, 8 * GROUPS) n;
insert into ai_catalog_items (id, organization_id, foundational_flow_reference)
  select n, 1, case when n <= 11 then 'flow ' || n end from generate_series(1, ITEMS) n;
insert into ai_catalog_item_versions (id, organization_id, ai_catalog_item_id) select n, 1, 1 + n % ITEMS from generate_series(1, 3 * ITEMS) n;
insert into ai_catalog_item_consumers (id, group_id, ai_catalog_item_id, service_account_id)
  select row_number() over (order by random()), g, 1 + (g + k) % ITEMS, 1 + CONSUMERS * (g - 1) + k + 1
  from generate_series(1, GROUPS) g, generate_series(0, CONSUMERS - 1) k;
insert into duo_workflows_workflows (id, user_id, project_id, namespace_id, workflow_definition, ai_catalog_item_version_id, status, goal)
  select w.n, case when w.is_good then 1 + CONSUMERS * (w.root - 1) + w.k + 1 else 1 end, w.project, case when w.project is null then w.namespace end,
         case when not w.is_good then 'unknown' when w.item <= 11 then 'flow ' || w.item else 'software_development' end,
         case when w.is_good and w.item > 11 then ITEMS + w.item - 1 end,
         w.is_good::integer, (select string_agg(md5(w.n || ' ' || part), '') from generate_series(1, (GOAL + 31) / 32) part)
    from (select g.n, g.is_good, g.k, p.id as project, n.id as namespace, n.traversal_ids[1] as root, 1 + (n.traversal_ids[1] + g.k) % ITEMS as item
            from (select n, random() * 100 < RESOLVED as is_good, floor(random() * CONSUMERS)::integer as k,
                         case when n % 3 > 0 then 1 + floor(random() * 8 * GROUPS)::bigint end as project,
                         1 + floor(random() * 4 * GROUPS)::bigint as namespace
                    from generate_series(1, WORKFLOWS) n) g
            left join projects p on p.id = g.project
            join namespaces n on n.id = coalesce(p.namespace_id, g.namespace)) w
   order by w.n;
create extension lockstep_slack cascade;
analyze";

impl Shape {
    fn create_template(&self, server: &mut Server, workflows: i64) -> Result<()> {
        let mut fill = FILL.to_owned();
        for (name, number) in [
            ("GROUPS", self.groups),
            ("CONSUMERS", self.consumers),
            ("ITEMS", self.items),
            ("RESOLVED", self.resolved),
            ("GOAL", self.goal),
            ("WORKFLOWS", workflows),
        ] {
            fill = fill.replace(name, &number.to_string());
        }
        server.create_template(TEMPLATE, |client| {
            host::create(client, Layout::Wide)?;
            client.batch_execute(&fill)?;
            Ok(())
        })
    }
}

const SUB_BATCH: i64 = 1_000;

const CONTENDERS: [(Contender, Cut); 3] = [
    (Contender::Correlated, Cut::Rows(SUB_BATCH)),
    (Contender::Bare, Cut::Rows(SUB_BATCH)),
    (Contender::Engine(1), Cut::Adaptive),
];

pub(super) fn run(
    server: &mut Server,
    selection: &Selection,
    size: Size,
    report: &mut Report,
) -> Result<()> {
    let part = format!("{NAME}/shape");
    let mut ratios = Vec::new();
    for shape in &SHAPES {
        let name = format!("{part}/{}", shape.name);
        if !selection.includes(&name) {
            continue;
        }
        let workflows = i64::from(size.rows);
        shape.create_template(server, workflows)?;
        let mut times = [const { Vec::new() }; CONTENDERS.len()];
        for _ in 0..size.rounds {
            for ((contender, cut), times) in CONTENDERS.into_iter().zip(&mut times) {
                let sample = measure(server, contender, cut, workflows)?;
                eprintln!(
                    "bench: {name} {}: {:.0} ms",
                    contender.name(),
                    sample.milliseconds
                );
                times.push(sample.milliseconds);
            }
        }
        server.drop_database(TEMPLATE)?;
        let [correlated, bare, engine] = times.map(median);
        for ((contender, _), milliseconds) in CONTENDERS.into_iter().zip([correlated, bare, engine])
        {
            report.table.push(vec![
                shape.name.to_owned(),
                contender.name(),
                format!("{milliseconds:.0}"),
                format!("{:.2}", milliseconds * 1_000.0 / workflows as f64),
                String::new(),
            ]);
        }
        let ratio = correlated / engine;
        ratios.push(ratio);
        report.figures.extend([
            Figure::plain(
                format!("{name}/rows_per_second_of_correlated"),
                ratio,
                "ratio",
            ),
            Figure::plain(
                format!("{name}/time_of_bare_update"),
                engine / bare,
                "ratio",
            ),
        ]);
    }
    if ratios.len() == SHAPES.len() {
        let worst = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let best = ratios.iter().copied().fold(0.0, f64::max);
        report.figures.extend([
            Figure::with_reach(
                format!("{part}/worst_rows_per_second_of_correlated"),
                worst,
                "ratio",
                Reach::AtLeast(2.0),
            ),
            Figure::plain(
                format!("{part}/best_rows_per_second_of_correlated"),
                best,
                "ratio",
            ),
        ]);
    }
    Ok(())
}
