output "ids" {
  description = "The secrets, by their names, once whoever may read them can."
  value       = { for name, secret in google_secret_manager_secret.this : name => secret.secret_id }

  # Cloud Run refuses a revision whose account may not read what it is told.
  depends_on = [google_secret_manager_secret_iam_member.access]
}
