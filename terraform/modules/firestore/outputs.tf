output "name" {
  description = "The database: FIRESTORE_DATABASE."
  value       = google_firestore_database.this.name
}
