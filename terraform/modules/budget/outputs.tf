output "name" {
  description = "What the budget is called on the bill's page."
  value       = google_billing_budget.imagen.display_name
}
