variable "project_id" {
  description = "The Google project."
  type        = string
}

variable "region" {
  description = "Where the service runs."
  type        = string
}

variable "domain" {
  description = "Where people reach the site: the certificate's domain."
  type        = string
}

variable "service" {
  description = "The service of Cloud Run behind it, by its name."
  type        = string
}

variable "attacks_only_logged" {
  description = "Whether requests that look like attacks are logged and let in. So at first: look at the log, then refuse."
  type        = bool
  default     = true
}

variable "requests_per_minute" {
  description = "How many requests an address may make."
  type        = number
  default     = 6000

  validation {
    condition     = var.requests_per_minute >= 2000
    error_message = "At least 2000 a minute: one account may make 600 submits and 1200 reads, and an office has one address."
  }
}

variable "sign_ins_per_minute" {
  description = "How many requests an address may make to pages that ask for a password."
  type        = number
  default     = 60

  validation {
    condition     = var.sign_ins_per_minute >= 10 && var.sign_ins_per_minute <= 600
    error_message = "Between 10, which an office needs of a morning, and 600, which is guessing."
  }
}

variable "log_sample_rate" {
  description = "The share of requests that is logged, 0 to 1; attacks are seen in that log alone."
  type        = number
  default     = 1

  validation {
    condition     = var.log_sample_rate > 0 && var.log_sample_rate <= 1
    error_message = "Above 0, up to 1."
  }
}
