//! Workflows of the agent platform, and the catalog that determines their service accounts.

use anyhow::Result;
use lockstep_tests::host::{self, Layout};

use crate::server::Server;

pub(crate) const TEMPLATE: &str = "workflows";

/// `WORKFLOWS` is the number of workflows, `ROWS` a thousandth of the number that the catalog is made for. A root group has four
/// consumers of items found by definition and four of items found by version, one of each without an account. A workflow that can
/// be resolved has status 1, and its user is the account, so that a bare update can write what the others have to look up.
const FILL: &str = "
select setseed(0.5);
insert into users (id, organization_id) select n, 1 from generate_series(2, 320 * ROWS + 1) n;
delete from namespaces;
insert into namespaces (id, name, path, type, traversal_ids, organization_id)
  select n, 'n', 'n', 'Group', case when n <= 40 * ROWS then array[n] else array[1 + n % (40 * ROWS), n] end, 1
  from generate_series(1, 100 * ROWS) n;
insert into projects (id, namespace_id, project_namespace_id, organization_id)
  select n, 1 + floor(random() * 100 * ROWS)::bigint, n, 1 from generate_series(1, 200 * ROWS) n;
insert into ai_catalog_items (id, organization_id, foundational_flow_reference)
  select n, 1, case when n <= 40 then 'flow ' || n end from generate_series(1, 500) n;
insert into ai_catalog_item_versions (id, organization_id, ai_catalog_item_id) select n, 1, 1 + n % 500 from generate_series(1, 1500) n;
insert into ai_catalog_item_consumers (id, group_id, ai_catalog_item_id, service_account_id)
  select row_number() over (order by random()), g, case when k < 4 then 1 + (g + k) % 40 else 41 + (g + k) % 460 end,
         case when k % 4 < 3 then 1 + 8 * (g - 1) + k + 1 end
  from generate_series(1, 40 * ROWS) g, generate_series(0, 7) k;
insert into duo_workflows_workflows (id, user_id, project_id, namespace_id, workflow_definition, ai_catalog_item_version_id, status)
  select n, case when is_good then 1 + 8 * (root - 1) + k + 1 else 1 end, project, case when project is null then namespace end,
         case when k < 4 and is_good then 'flow ' || 1 + (root + k) % 40
              when n % 9 = 0 then 'unknown'
              when n % 9 = 3 then 'flow ' || 1 + (root + 3) % 40
              else 'software_development' end,
         case when k >= 4 and is_good then 500 + 40 + (root + k) % 460
              when n % 9 = 6 then 500 + 40 + (root + 100) % 460 end,
         is_good::integer
  from (select n, n % 3 <> 0 as is_good, (array[0, 1, 2, 4, 5, 6])[1 + n % 6] as k, p.id as project,
               coalesce(p.namespace_id, g.namespace) as namespace, (coalesce(np.traversal_ids, ng.traversal_ids))[1] as root
        from (select n, case when n % 5 > 0 then 1 + floor(random() * 200 * ROWS)::bigint end as project,
                     1 + floor(random() * 100 * ROWS)::bigint as namespace
              from generate_series(1, WORKFLOWS) n) g
        left join projects p on p.id = g.project left join namespaces np on np.id = p.namespace_id
        left join namespaces ng on ng.id = g.namespace and g.project is null) w
  order by n;
create extension lockstep_slack cascade;
analyze";

/// Fills the template with this many workflows, and a catalog for `catalog_for` of them, in thousands.
pub(crate) fn create_template(server: &mut Server, workflows: i64, catalog_for: i64) -> Result<()> {
    let thousands = ((catalog_for + 999) / 1_000).max(1);
    server.create_template(TEMPLATE, |client| {
        host::create(client, Layout::Wide)?;
        let fill = FILL.replace("WORKFLOWS", &workflows.to_string());
        client.batch_execute(&fill.replace("ROWS", &thousands.to_string()))?;
        Ok(())
    })
}
