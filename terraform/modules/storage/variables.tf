variable "project_id" {
  description = "The Google project."
  type        = string
}

variable "region" {
  description = "Where the buckets are: where the workers are, so that a photo crosses no border."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "One region such as europe-west4; several would cost more, and keep a photo in more places."
  }
}

variable "retention_days" {
  description = "How long the pixels of a job are kept: JOB_RETENTION_DAYS, and as long as the longest plan promises."
  type        = number
  default     = 7

  validation {
    condition     = var.retention_days >= 1 && var.retention_days <= 365 && floor(var.retention_days) == var.retention_days
    error_message = "Whole days, between 1 and 365."
  }
}

variable "upload_origins" {
  description = "The sites whose pages may send a photo to the bucket directly."
  type        = list(string)

  validation {
    condition     = alltrue([for origin in var.upload_origins : can(regex("^https://[^/*]+$", origin))])
    error_message = "An origin is https://host, without a path and without a star."
  }
}

variable "deletion_protection" {
  description = "Whether a bucket that holds anything refuses to be destroyed."
  type        = bool
  default     = true
}

variable "image_access" {
  description = "Who may do what with the images: members by their names, by roles; with a prefix, with the objects below it alone."
  type = map(map(object({
    member = string
    prefix = optional(string, "")
  })))
  default = {}
}

variable "model_access" {
  description = "Who may do what with the weights: members by their names, by roles."
  type        = map(map(string))
  default     = {}
}
