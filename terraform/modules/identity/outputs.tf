output "emails" {
  description = "The e-mail of each account, by its name."
  value       = local.emails
}

output "members" {
  description = "Each account as a member of a policy, by its name."
  value       = { for name, email in local.emails : name => "serviceAccount:${email}" }
}
