variable "project_id" {
  description = "The Google project."
  type        = string
}

variable "region" {
  description = "Where the database is: where the site is."
  type        = string
}

variable "network_id" {
  description = "The network that it has its address in."
  type        = string
}

variable "private_range" {
  description = "The range of that network that is set aside for Google's services, by its name."
  type        = string
  default     = null
}

variable "postgres_version" {
  description = "The version of PostgreSQL."
  type        = string
  default     = "POSTGRES_17"

  validation {
    condition     = can(regex("^POSTGRES_1[5-8]$", var.postgres_version))
    error_message = "POSTGRES_15 to POSTGRES_18: older ones end before this installation does."
  }
}

variable "size" {
  description = "Its machine, its disk in GB and what that may grow to, and whether a second zone has a copy."
  type = object({
    tier             = optional(string, "db-custom-1-3840")
    disk_gb          = optional(number, 10)
    disk_limit_gb    = optional(number, 100)
    highly_available = optional(bool, false)
  })
  default = {}

  validation {
    condition     = var.size.disk_gb >= 10 && var.size.disk_limit_gb >= var.size.disk_gb
    error_message = "A disk has 10 GB at least, and its limit is no smaller than itself."
  }
}

variable "max_connections" {
  description = "How many connections PostgreSQL takes; each costs it some megabytes."
  type        = number
  default     = 200

  validation {
    condition     = var.max_connections >= 25 && var.max_connections <= 500
    error_message = "Between 25 and 500: beyond, a small machine has no memory for them, and a pooler is due."
  }
}

variable "client_connections" {
  description = "How many connections are reckoned with for all instances of all services together."
  type        = number
}

variable "backups" {
  description = "How many daily backups are kept."
  type        = number
  default     = 7

  validation {
    condition     = var.backups >= 7 && var.backups <= 365
    error_message = "Between 7 and 365: a wrong write is often noticed after a weekend."
  }
}

variable "deletion_protection" {
  description = "Whether the instance refuses to be deleted, by Terraform and by anybody else."
  type        = bool
  default     = true
}

variable "password" {
  description = "The password of the user imagen. Needed when the version below changes, and at no other time."
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true

  validation {
    # It is written into an address as it is.
    condition     = var.password == null || can(regex("^[A-Za-z0-9_-]{24,}$", var.password))
    error_message = "At least 24 letters, digits, - and _: openssl rand -hex 24."
  }
}

variable "password_version" {
  description = "Raise it to set another password; TF_VAR_database_password is read at that time."
  type        = number
  default     = 1
}

variable "database_url_secret" {
  description = "The secret that becomes DATABASE_URL, by its full name."
  type        = string
}
