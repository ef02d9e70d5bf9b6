# Google's service accounts, one for each thing that runs outside the cluster. None has a key.

resource "google_service_account" "this" {
  for_each = var.accounts

  project      = var.project_id
  account_id   = each.key
  display_name = each.value
}

resource "google_service_account_iam_member" "access" {
  for_each = { for grant in local.grants : "${grant.account} ${grant.role} ${grant.name}" => grant }

  service_account_id = "projects/${var.project_id}/serviceAccounts/${local.emails[each.value.account]}"
  role               = each.value.role
  member             = each.value.member
}

locals {
  # Put together and not asked for: so it is known before the account exists.
  emails = {
    for name, account in google_service_account.this :
    name => "${account.account_id}@${account.project}.iam.gserviceaccount.com"
  }

  grants = flatten([
    for account, roles in var.access : [
      for role, members in roles : [
        for name, member in members : { account = account, role = role, name = name, member = member }
      ]
    ]
  ])
}
