# PostgreSQL: accounts, jobs and credits. Reached inside the network alone, by a password that no state file holds.

locals {
  # What Google, an operator and a migration need beside the site.
  spare_connections = 20
}

resource "google_sql_database_instance" "this" {
  project             = var.project_id
  name                = "imagen"
  region              = var.region
  database_version    = var.postgres_version
  deletion_protection = var.deletion_protection

  settings {
    tier = var.size.tier
    # Said, because for this version the default is the other one, which knows none of our sizes.
    edition                     = "ENTERPRISE"
    availability_type           = var.size.highly_available ? "REGIONAL" : "ZONAL"
    disk_type                   = "PD_SSD"
    disk_size                   = var.size.disk_gb
    disk_autoresize             = true
    disk_autoresize_limit       = var.size.disk_limit_gb
    deletion_protection_enabled = var.deletion_protection
    # Even where it may be deleted, the credits of people are not to be lost by a slip.
    retain_backups_on_delete = true

    ip_configuration {
      ipv4_enabled       = false
      private_network    = var.network_id
      allocated_ip_range = var.private_range
      ssl_mode           = "ENCRYPTED_ONLY"
    }

    backup_configuration {
      enabled                        = true
      start_time                     = "02:00"
      location                       = var.region
      point_in_time_recovery_enabled = true
      transaction_log_retention_days = 7

      backup_retention_settings {
        retained_backups = var.backups
        retention_unit   = "COUNT"
      }
    }

    maintenance_window {
      # Sunday night, UTC, and a week after those who like to be first.
      day          = 7
      hour         = 3
      update_track = "stable"
    }

    insights_config {
      query_insights_enabled  = true
      query_string_length     = 1024
      record_application_tags = false
      record_client_address   = false
    }

    dynamic "database_flags" {
      for_each = local.flags

      content {
        name  = database_flags.key
        value = database_flags.value
      }
    }
  }

  lifecycle {
    precondition {
      condition     = var.max_connections >= var.client_connections + local.spare_connections
      error_message = "max_connections is too small: ${var.client_connections} connections are reckoned with for the services, and ${local.spare_connections} are for Google, migrations and an operator."
    }

    # It has grown by itself.
    ignore_changes = [settings[0].disk_size]
  }
}

resource "google_sql_database" "imagen" {
  project  = var.project_id
  instance = google_sql_database_instance.this.name
  name     = "imagen"
}

resource "google_sql_user" "imagen" {
  project  = var.project_id
  instance = google_sql_database_instance.this.name
  name     = "imagen"
  # Sent to Google when its version is new, and neither to the state nor to a plan.
  password_wo         = var.password
  password_wo_version = var.password_version
  # It owns the tables: PostgreSQL refuses to drop it before them.
  deletion_policy = "ABANDON"
}

resource "google_secret_manager_secret_version" "database_url" {
  secret = var.database_url_secret

  # The provider wants a value in every plan, and sends it when the version below is new. Without a password there is
  # none of this either: PostgreSQL refuses a user that has none, and this one waits for the user.
  secret_data_wo         = "postgres://${google_sql_user.imagen.name}:${coalesce(var.password, "not-told")}@${google_sql_database_instance.this.private_ip_address}/${google_sql_database.imagen.name}?sslmode=require"
  secret_data_wo_version = tostring(var.password_version)
  # An older version is what a rollback may need; it is turned off, not destroyed.
  deletion_policy = "DISABLE"
}

locals {
  flags = {
    max_connections = tostring(var.max_connections)
    # A request that died holds no lock for longer than this.
    idle_in_transaction_session_timeout = "60000"
    # A statement carries its values, and so prompts and addresses: none is logged, neither a slow one nor one that
    # failed. Query Insights shows the slow ones without their values.
    log_min_duration_statement = "-1"
    log_min_error_statement    = "panic"
    log_lock_waits             = "on"
    log_checkpoints            = "on"
    log_connections            = "on"
    log_disconnections         = "on"
  }
}
