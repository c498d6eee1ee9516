//! Role assignments and built-in role definitions.

use serde_json::{Value, json};

use crate::world::World;
use crate::world::condition;
use crate::world::errors::{Answer, ArmError};
use crate::world::http::{Method, Request, Response};
use crate::world::ids::{self, ArmPath};
use crate::world::kind::{Kind, PLAIN, Prepared, Put};
use crate::world::operations::rfc3339;
use crate::world::rbac::{self, ROLES, Role};
use crate::world::remove::lock_scope;
use crate::world::resource::text;
use crate::world::{names, versions};

const VERSIONS: &[&str] = &["2022-04-01", "2020-04-01-preview", "2018-07-01", "2022-05-01-preview"];

/// Role assignments.
pub(crate) const ROLE_ASSIGNMENT: Kind = Kind {
    rtype: "Microsoft.Authorization/roleAssignments",
    versions: VERSIONS,
    operation: "PutRoleAssignmentOperation",
    name: names::guid,
    prepare,
    stored: |world, key| {
        let effective_ms = world.now_ms + world.scaled(world.settings.role_delay_ms);
        if let Some(assignment) = world.resources.get_mut(key)
            && assignment.created_ms == world.now_ms
        {
            assignment.effective_ms = effective_ms;
        }
    },
    ..PLAIN
};

fn prepare(world: &World, put: &Put<'_>) -> Answer<Prepared> {
    let principal = text(put.body, "/properties/principalId");
    let definition = text(put.body, "/properties/roleDefinitionId");
    if principal.is_empty() || definition.is_empty() {
        return Err(ArmError::invalid(
            "InvalidCreateRoleAssignmentRequest",
            "The role assignment needs 'properties.roleDefinitionId' and 'properties.principalId'.",
        ));
    }
    let Some(role) = rbac::find_role(definition) else {
        let name = ids::name_of(definition);
        let text = format!("The specified role definition with ID '{name}' does not exist.");
        return Err(ArmError::invalid("RoleDefinitionDoesNotExist", text));
    };
    let condition = text(put.body, "/properties/condition");
    if !condition.is_empty() {
        if text(put.body, "/properties/conditionVersion") != "2.0" {
            let text = "The role assignment condition version must be 2.0.";
            return Err(ArmError::invalid("InvalidRoleAssignmentCondition", text));
        }
        condition::check(condition)
            .map_err(|told| ArmError::invalid("InvalidRoleAssignmentCondition", told))?;
    }
    let scope = lock_scope(put.id);
    if scope.split('/').filter(|s| !s.is_empty()).count() > 2 && world.visible(scope).is_none() {
        let text = format!("The scope '{scope}' could not be found.");
        return Err(ArmError::gateway(404, "ResourceNotFound", text));
    }
    let principal_type = text(put.body, "/properties/principalType");
    check_principal(world, principal, principal_type)?;
    let triple = |r: &crate::world::resource::Resource| {
        r.text("/properties/principalId").eq_ignore_ascii_case(principal)
            && ids::name_of(r.text("/properties/roleDefinitionId")).eq_ignore_ascii_case(role.id)
            && ids::key(r.text("/properties/scope")) == ids::key(scope)
    };
    if let Some(old) = put.old {
        if !triple(old) {
            return Err(ArmError::invalid(
                "RoleAssignmentUpdateNotPermitted",
                "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.",
            ));
        }
    } else if let Some(twin) =
        world.resources.values().find(|r| r.rtype == ROLE_ASSIGNMENT.rtype && triple(r))
    {
        let twin = twin.name();
        let text = format!(
            "The role assignment already exists. The ID of the existing role assignment is {twin}."
        );
        return Err(ArmError::new(409, "RoleAssignmentExists", text));
    }
    let subscription = match ids::subscription_of(scope) {
        "" => &world.settings.subscription_id,
        own => own,
    };
    let now = rfc3339(world.now_ms);
    let body = json!({"properties": {
        "roleDefinitionId": format!(
            "/subscriptions/{subscription}/providers/Microsoft.Authorization/roleDefinitions/{}",
            role.id
        ),
        "principalId": principal,
        "principalType": "ServicePrincipal",
        "scope": scope,
        "condition": put.body.pointer("/properties/condition").cloned().unwrap_or(Value::Null),
        "conditionVersion": put.body.pointer("/properties/conditionVersion").cloned().unwrap_or(Value::Null),
        "createdOn": now,
        "updatedOn": now,
        "createdBy": put.principal,
        "updatedBy": put.principal,
        "delegatedManagedIdentityResourceId": Value::Null,
        "description": put.body.pointer("/properties/description").cloned().unwrap_or(Value::Null),
    }});
    Ok(Prepared { body, ..Prepared::default() })
}

fn check_principal(world: &World, principal: &str, principal_type: &str) -> Answer<()> {
    let known = world.principals.get(principal);
    let found = match known {
        None => false,
        Some(known) => known.visible_ms <= world.now_ms || principal_type == "ServicePrincipal",
    };
    if !found {
        let tenant = world.settings.tenant_id.replace('-', "");
        return Err(ArmError::invalid(
            "PrincipalNotFound",
            format!(
                "Principal {} does not exist in the directory {tenant}. Check that you have the \
                 correct principal ID. If you are creating this principal and then immediately \
                 assigning a role, this error might be related to a replication delay. In this \
                 case, set the role assignment principalType property to a value, such as \
                 ServicePrincipal, User, or Group.",
                principal.replace('-', "")
            ),
        ));
    }
    if !principal_type.is_empty() && principal_type != "ServicePrincipal" {
        return Err(ArmError::invalid(
            "UnmatchedPrincipalType",
            format!(
                "The PrincipalId '{principal}' has type 'ServicePrincipal' , which is different \
                 from specified PrinciaplType '{principal_type}'."
            ),
        ));
    }
    Ok(())
}

fn definition(world: &World, path: &ArmPath, role: &Role) -> Value {
    let subscription = match path.subscription.as_str() {
        "" => &world.settings.subscription_id,
        own => own,
    };
    json!({
        "id": format!(
            "/subscriptions/{subscription}/providers/Microsoft.Authorization/roleDefinitions/{}",
            role.id
        ),
        "name": role.id,
        "type": "Microsoft.Authorization/roleDefinitions",
        "properties": {
            "roleName": role.name,
            "type": "BuiltInRole",
            "description": role.name,
            "assignableScopes": ["/"],
            "permissions": [{
                "actions": role.actions,
                "notActions": role.not_actions,
                "dataActions": role.data_actions,
                "notDataActions": [],
            }],
        },
    })
}

/// What the caller may do at a scope: a row for each of its roles there.
fn permissions(world: &World, req: &Request, path: &ArmPath, version: &str) -> Answer {
    if !VERSIONS.contains(&version) {
        return Err(versions::unknown_type(path, version));
    }
    if req.method != Method::Get {
        return Err(ArmError::method_not_allowed(req.method.as_str()));
    }
    let action = "Microsoft.Authorization/permissions/read";
    world.require(&req.principal, action, &path.scope)?;
    let is_subscription = path.scope.split('/').filter(|part| !part.is_empty()).count() == 2;
    if !is_subscription && world.visible(&path.scope).is_none() {
        let text = format!("The scope '{}' could not be found.", path.scope);
        return Err(ArmError::gateway(404, "ResourceNotFound", text));
    }
    let scope = ids::key(&path.scope);
    let rows = world.roles_at(&req.principal, &scope).map(|role| {
        json!({
            "actions": role.actions,
            "notActions": role.not_actions,
            "dataActions": role.data_actions,
            "notDataActions": [],
        })
    });
    let rows: Vec<Value> = rows.collect();
    Ok(Response::json(200, json!({"value": rows})))
}

/// Role definitions, permissions, deny assignments.
pub(crate) fn route(
    world: &mut World,
    req: &Request,
    path: &ArmPath,
    version: &str,
) -> Option<Answer> {
    let type_key = path.type_key();
    if type_key == "microsoft.authorization/denyassignments" {
        return Some(if req.method == Method::Get {
            Ok(Response::json(200, json!({"value": []})))
        } else {
            Err(ArmError::method_not_allowed(req.method.as_str()))
        });
    }
    if type_key == "microsoft.authorization/permissions" {
        return Some(permissions(world, req, path, version));
    }
    if type_key != "microsoft.authorization/roledefinitions" {
        return None;
    }
    if !VERSIONS.contains(&version) {
        return Some(Err(versions::unknown_type(path, version)));
    }
    if req.method != Method::Get {
        let text = "Custom roles are outside of this world.";
        return Some(Err(ArmError::new(400, "RoleDefinitionUpdateNotPermitted", text)));
    }
    if path.is_collection() {
        let wanted = req.query("$filter").unwrap_or_default();
        let rows = ROLES
            .iter()
            .filter(|r| !wanted.contains("roleName") || wanted.contains(&format!("'{}'", r.name)))
            .map(|r| definition(world, path, r))
            .collect();
        return Some(Ok(world.page(req, rows)));
    }
    Some(match rbac::find_role(path.name()) {
        Some(role) => Ok(Response::json(200, definition(world, path, role))),
        None => Err(ArmError::new(
            404,
            "RoleDefinitionDoesNotExist",
            format!("The specified role definition with ID '{}' does not exist.", path.name()),
        )),
    })
}
