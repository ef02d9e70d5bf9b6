output "mailed" {
  description = "Those channels of tickets that are e-mail addresses: a budget takes no other."
  value = [
    for name, channel in var.channels : google_monitoring_notification_channel.told[name].name
    if channel.type == "email" && contains(channel.tells, "ticket")
  ]
}

output "dashboard" {
  description = "The dashboard's full name."
  value       = google_monitoring_dashboard.imagen.id
}
