variable "project_id" {
  description = "The Google project."
  type        = string
}

variable "region" {
  description = "Where Redis is: where the site is, for it is asked in every call of the API."
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

variable "memory_gb" {
  description = "Its memory. A gigabyte holds the windows of ten thousand accounts that call as often as they may."
  type        = number
  default     = 1

  validation {
    condition     = var.memory_gb >= 1 && var.memory_gb <= 5
    error_message = "Between 1 and 5 GB: rate limits need no more, and nothing else is kept there."
  }
}

variable "highly_available" {
  description = "Whether a second zone has a copy: twice the price for limits that an outage of it does not break."
  type        = bool
  default     = false
}

variable "redis_url_secret" {
  description = "The secret that becomes REDIS_URL, by its full name."
  type        = string
}

variable "url_version" {
  description = "Raise it when Redis has another password or certificate, so that the secret gets the new address."
  type        = number
  default     = 1
}
