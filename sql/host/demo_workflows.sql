-- 300,000 workflows of the projects and groups in demo.sql. Nothing is random: every run creates the same rows. Groups up to
-- 1,500 have enabled the items; in every tenth the account is still missing.

insert into users (id, organization_id) select 100000 + id, 1 from generate_series(1, 1500) as id;

insert into ai_catalog_items (id, organization_id, name, foundational_flow_reference)
select id, 1, 'item ' || id, case when id <= 4 then (array['software_development', 'code_review', 'fix_pipeline', 'convert_ci'])[id] end
from generate_series(1, 20) as id;
insert into ai_catalog_item_versions (id, organization_id, ai_catalog_item_id)
select id, 1, 1 + id % 20 from generate_series(1, 60) as id;
insert into ai_catalog_item_consumers (ai_catalog_item_id, group_id, enabled, service_account_id)
select item, id, true, case when id % 10 > 0 then 100000 + id end
from generate_series(1, 1500) as id cross join generate_series(1, 10) as item;

insert into duo_workflows_workflows (user_id, project_id, namespace_id, workflow_definition, ai_catalog_item_version_id)
select 1, p.id, case when p.id is null then 1 + n % 2000 end,
       (array['software_development', 'code_review', 'fix_pipeline', 'chat'])[1 + n % 4],
       case when n % 3 = 0 then 1 + n % 60 end
from generate_series(1, 300000) as n
left join projects p on p.id = n % 100000 and n % 5 > 0;
analyze;
