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
