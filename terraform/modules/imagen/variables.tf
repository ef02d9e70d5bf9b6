variable "environment" {
  description = "Which of the environments this is: what its alerts and its budget are called."
  type        = string

  validation {
    condition     = contains(["dev", "prod"], var.environment)
    error_message = "environment is dev or prod."
  }
}

variable "project_id" {
  description = "The Google project. Each environment has one of its own."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id is the project's id, 6 to 30 small letters, digits and hyphens, as in imagen-dev; not its name or number."
  }
}

variable "project_number" {
  description = "The project's number: identities of the cluster and Google's own accounts are named by it."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{6,}$", var.project_number))
    error_message = "project_number is the number that `gcloud projects describe PROJECT --format='value(projectNumber)'` shows."
  }
}

variable "region" {
  description = "Where everything runs. It must have the cards: T4, and L4 to fall back on."
  type        = string

  validation {
    condition     = contains(["europe-west4", "us-central1", "us-east1", "us-east4", "us-west1", "us-west4", "asia-east1", "asia-northeast1", "asia-northeast3", "asia-south1", "asia-southeast1"], var.region)
    error_message = "region must be one that has both T4 and L4 cards, as europe-west4 or us-central1 has."
  }
}

variable "domain" {
  description = "The host name of the site, without a scheme: images.example.com."
  type        = string

  validation {
    condition     = can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", var.domain))
    error_message = "domain is a host name such as images.example.com: no https://, no path, no port."
  }
}

variable "image_tag" {
  description = "The tag of the images that Cloud Run begins with. Cloud Build deploys the later ones."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$", var.image_tag)) && var.image_tag != "latest"
    error_message = "image_tag names one build, such as a commit; latest is whatever was pushed last."
  }
}

variable "deletion_protection" {
  description = "Whether what holds data refuses to be destroyed: cluster, database, buckets, Firestore."
  type        = bool
}

variable "repository" {
  description = "The repository that Cloud Build is connected with; null until somebody has connected one."
  type        = string
  default     = null
}

variable "budget" {
  description = "What a month may cost before somebody is told, and whose money it is; null for no budget."
  type = object({
    billing_account = string
    monthly         = number
    currency        = optional(string, "USD")
  })
}

variable "retention_days" {
  description = "How long pixels and live states are kept: what the longest plan promises."
  type        = number
  default     = 7

  validation {
    condition     = var.retention_days >= 1 && var.retention_days <= 365 && floor(var.retention_days) == var.retention_days
    error_message = "retention_days are whole days, 1 to 365."
  }
}

variable "attacks_only_logged" {
  description = "Whether Cloud Armor lets requests in that look like attacks, and only logs them."
  type        = bool
  default     = true
}

variable "size" {
  description = "How large the environment is; the modules run, sql and firestore say what each of it means."
  type = object({
    web = optional(object({
      min_instances = optional(number, 0)
      max_instances = optional(number, 10)
      memory        = optional(string, "1Gi")
      cpu_always    = optional(bool, true)
    }), {})
    webhooks = optional(object({
      min_instances = optional(number, 0)
      max_instances = optional(number, 3)
      memory        = optional(string, "512Mi")
      cpu_always    = optional(bool, true)
    }), {})
    database = optional(object({
      tier             = optional(string, "db-custom-1-3840")
      disk_gb          = optional(number, 10)
      disk_limit_gb    = optional(number, 100)
      highly_available = optional(bool, false)
    }), {})
    database_connections  = optional(number, 200)
    database_backups      = optional(number, 7)
    firestore_recovery    = optional(bool, false)
    firestore_backup_days = optional(number, 0)
  })
  default = {}
}

variable "database_password" {
  description = "The password of the database's user: told when its version below is new, and neither kept in a state nor in a plan."
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true
}

variable "database_password_version" {
  description = "Raised by one to set another password."
  type        = number
  default     = 1
}

variable "alerts" {
  description = "Whom alerts are sent to, where their runbooks can be read, and whether jobs have run, so that objectives can be measured; modules/monitoring says what each part is."
  type = object({
    channels = optional(map(object({
      type   = string
      labels = map(string)
      tells  = optional(set(string), ["page", "ticket"])
    })), {})
    made_by_hand = optional(object({
      page   = optional(set(string), [])
      ticket = optional(set(string), [])
    }), {})
    runbooks   = optional(string, "")
    objectives = optional(bool, false)
  })
  default = {}
}
