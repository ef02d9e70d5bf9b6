variable "project_id" {
  description = "The Google project."
  type        = string
}

variable "project_number" {
  description = "Its number, which is in the addresses of its services."
  type        = string

  validation {
    condition     = can(regex("^[0-9]+$", var.project_number))
    error_message = "The number, not the name: gcloud projects describe PROJECT --format='value(projectNumber)'."
  }
}

variable "region" {
  description = "Where the services run."
  type        = string
}

variable "domain" {
  description = "Where people reach the site: imagen.example.com."
  type        = string

  validation {
    condition     = can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", var.domain))
    error_message = "A host name alone, without https:// and without a slash."
  }
}

variable "image" {
  description = "The site's image, without a tag."
  type        = string
}

variable "image_tag" {
  description = "The tag that the services begin with. What runs later is Cloud Build's to say."
  type        = string

  validation {
    condition     = var.image_tag != "latest"
    error_message = "A commit: what latest was yesterday nobody can say tomorrow."
  }
}

variable "collector_image" {
  description = "Google's collector for Cloud Run."
  type        = string
  default     = "us-docker.pkg.dev/cloud-ops-agents-artifacts/cloud-run-gmp-sidecar/cloud-run-gmp-sidecar:1.9.2"
}

variable "network" {
  description = "The network that the services reach their database by."
  type        = string
}

variable "subnetwork" {
  description = "The subnetwork of it that their addresses come from."
  type        = string
}

variable "bucket" {
  description = "The bucket of the images: GCS_BUCKET."
  type        = string
}

variable "firestore_database" {
  description = "The database of live states: FIRESTORE_DATABASE."
  type        = string
  default     = "(default)"
}

variable "retention_days" {
  description = "How long pixels and live state are kept: JOB_RETENTION_DAYS, and the bucket's own rule."
  type        = number
  default     = 7
}

variable "secrets" {
  description = "The secrets, by their full names."
  type = object({
    secret_key   = string
    database_url = string
    redis_url    = string
  })
}

variable "service_accounts" {
  description = "The accounts, by their addresses: whom each service runs as, and whom pushes speak for."
  type = object({
    web      = string
    webhooks = string
    migrate  = string
    push     = string
  })
}

variable "web" {
  description = "The size of web. cpu_always: paid for as long as an instance is there, and measured (docs/decisions/0043). memory: eight of the largest photos at once (docs/benchmarks.md). concurrency: requests and open websockets together."
  type = object({
    min_instances = optional(number, 0)
    max_instances = optional(number, 10)
    cpu           = optional(string, "1")
    memory        = optional(string, "1Gi")
    concurrency   = optional(number, 100)
    cpu_always    = optional(bool, true)
  })
  default = {}

  validation {
    condition     = var.web.min_instances >= 0 && var.web.max_instances >= max(1, var.web.min_instances) && var.web.max_instances <= 10
    error_message = "Between 0 and 10 instances: the database has connections for ten."
  }

  validation {
    condition     = tonumber(var.web.cpu) >= 1
    error_message = "At least 1 vCPU: below, Cloud Run lets an instance answer one request at a time, and each open page is one."
  }

  validation {
    condition     = var.web.concurrency >= 20 && var.web.concurrency <= 1000
    error_message = "Between 20 and 1000: each open page is a request that does not end."
  }
}

variable "webhooks" {
  description = "The size of webhooks, as of web."
  type = object({
    min_instances = optional(number, 0)
    max_instances = optional(number, 3)
    cpu           = optional(string, "1")
    memory        = optional(string, "512Mi")
    concurrency   = optional(number, 20)
    cpu_always    = optional(bool, true)
  })
  default = {}

  validation {
    condition     = var.webhooks.min_instances >= 0 && var.webhooks.max_instances >= max(1, var.webhooks.min_instances) && var.webhooks.max_instances <= 10
    error_message = "Between 0 and 10 instances: the database has connections for ten."
  }

  validation {
    condition     = tonumber(var.webhooks.cpu) >= 1
    error_message = "At least 1 vCPU: below, Cloud Run lets an instance answer one request at a time."
  }
}

variable "connections_per_instance" {
  description = "How many connections to the database are reckoned with for an instance at its busiest (docs/decisions/0044)."
  type        = number
  default     = 10
}

variable "deletion_protection" {
  description = "Whether the services refuse to be deleted."
  type        = bool
  default     = true
}

variable "access" {
  description = "Who may do what: members by their names, by roles, by web, webhooks and migrate."
  type        = map(map(map(string)))
  default     = {}

  validation {
    condition     = alltrue([for service in keys(var.access) : contains(["web", "webhooks", "migrate"], service)])
    error_message = "There are web, webhooks and migrate."
  }

  validation {
    condition = alltrue([
      for service, roles in var.access : service == "web" || !anytrue([
        for role, members in roles : length(setintersection(values(members), ["allUsers", "allAuthenticatedUsers"])) > 0
      ])
    ])
    error_message = "Only web is for everybody."
  }
}
